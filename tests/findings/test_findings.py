"""What is known of causes: when it applies, what it says, and that it says it safely."""

from __future__ import annotations

import shlex
import string

import pytest
from documents.hostile import ATTACK
from sightings import LEGACY, NATIVE, NFT, NODE, POD

from tracer.document import Culprit, RulesetSummary, Verdict
from tracer.findings.facts import gather
from tracer.findings.find import find, known
from tracer.netfilter.owners import known_owners

FACTS = gather(Culprit("kernel", NODE), ()).keys()
SEVERITIES = {"critical", "warning", "info"}


def ruleset(backend, *owners, table="filter", family="ip", rules=40, netns=NODE):
    return RulesetSummary(netns, backend, family, table, 10, rules, owners)


def rule_culprit(kind="rule", backend=LEGACY, owner="calico", **other):
    fields = {"hook": "INPUT", "family": "ip", "table": "filter", "chain": "INPUT", "verdict": "drop", **other}
    return Culprit(kind, NODE, backend=backend, owner=owner, **fields)


def kernel_culprit(reason="", function="ip_error+0x94", **other):
    return Culprit("kernel", NODE, function=function, reason=reason and f"SKB_DROP_REASON_{reason}", **other)


SPLIT = (ruleset(LEGACY, "calico", rules=80), ruleset(NFT, "calico", "kube-proxy", rules=115))
APPLIES = [
    (0, rule_culprit(), SPLIT),
    (0, rule_culprit("policy"), SPLIT),
    (0, rule_culprit(backend=NFT), SPLIT),
    (1, rule_culprit(backend=NATIVE, table="calico"), (ruleset(NATIVE, "calico", table="calico"), SPLIT[0])),
    (2, rule_culprit("policy", owner="unknown", chain="FORWARD"), SPLIT),
    (2, rule_culprit("policy", backend=NATIVE, owner="unknown"), ()),
    (3, kernel_culprit("IP_RPFILTER", "ip_rcv_finish_core+0x25b", device="cali1", hook="PREROUTING"), ()),
    (4, kernel_culprit("NEIGH_FAILED", "neigh_invalidate+0x7e"), ()),
    (5, kernel_culprit("", "ndisc_error_report+0x6f"), ()),
    (5, kernel_culprit("NOT_SPECIFIED", "ndisc_error_report+0x6f"), ()),
    (6, kernel_culprit("OTHERHOST", "ip_rcv_core+0x1", device="eth0"), ()),
    (7, kernel_culprit("IP_INNOROUTES"), ()),
    (7, kernel_culprit("IP_INADDRERRORS"), ()),
    (8, kernel_culprit(""), ()),
    (9, kernel_culprit("NO_SOCKET", "tcp_v4_rcv+0x91"), ()),
    (10, Culprit("kernel", POD, hook="INPUT", device="eth0"), ()),
    (11, Culprit("kernel", NODE, hook="POSTROUTING", device="eth0"), ()),
    (12, kernel_culprit("NETFILTER_DROP", "ipt_do_table", hook="FORWARD", backend=LEGACY, table="filter"), ()),
    (13, kernel_culprit("NETFILTER_DROP", "nft_do_chain_inet", hook="FORWARD", backend=NATIVE, table="f"), ()),
]


def found(culprit, rulesets=(), outcome="request_lost"):
    return find(Verdict(outcome, "request", "", "observed", culprit), rulesets)


@pytest.mark.parametrize("index, culprit, rulesets", APPLIES)
def test_each_is_found_where_it_applies_and_alone(index, culprit, rulesets):
    assert [finding.id for finding in found(culprit, rulesets)] == [known()[index].id]
    assert found(culprit, rulesets)[0].severity == known()[index].severity


def test_all_are_tried_here():
    assert {index for index, _, _ in APPLIES} == set(range(len(known())))


class TestNothingToFind:
    def test_of_what_was_delivered(self):
        assert found(None, SPLIT, "delivered") == ()

    @pytest.mark.parametrize("owner", ["unknown", "kube-proxy", "docker"])
    def test_two_backends_are_no_cause_by_themselves(self, owner):
        """A rule dropped the packet, and its owner writes to that backend alone."""
        rulesets = (ruleset(LEGACY, owner, "unknown"), ruleset(NFT, "calico", "unknown"))
        assert found(rule_culprit(owner=owner), rulesets) == ()

    def test_the_kernel_dropped_it_between_two_backends(self):
        assert found(kernel_culprit("TCP_CSUM", "tcp_v4_rcv+0x1"), SPLIT) == ()

    def test_the_owners_other_rules_are_in_another_namespace(self):
        assert found(rule_culprit(), (SPLIT[0], ruleset(NFT, "calico", netns=POD))) == ()

    def test_the_owners_other_rules_are_in_another_table_of_the_same_backend(self):
        assert found(rule_culprit(), (SPLIT[0], ruleset(LEGACY, "calico", table="raw"))) == ()

    def test_the_owners_other_rules_are_of_the_other_family(self):
        assert found(rule_culprit(), (SPLIT[0], ruleset(NFT, "calico", family="ip6"))) == ()
        assert found(rule_culprit(family="ip6"), (ruleset(LEGACY, "calico", family="ip6"), SPLIT[1])) == ()

    def test_inet_sees_packets_of_both_families(self):
        assert found(rule_culprit(), (SPLIT[0], ruleset(NATIVE, "calico", family="inet", table="calico"))) != ()

    def test_nobody_owns_what_is_in_both(self):
        rulesets = [ruleset(backend, "unknown") for backend in (LEGACY, NFT, NATIVE)]
        assert found(rule_culprit(owner="unknown"), rulesets) == ()
        assert found(rule_culprit(owner="unknown", backend=NATIVE), rulesets) == ()

    def test_nothing_is_known_of_it(self):
        assert found(Culprit("kernel", POD, reason="its freeing was not seen")) == ()


class TestStaleRules:
    def test_counts_the_rules_of_both_backends(self):
        rulesets = (
            *SPLIT,
            ruleset(LEGACY, "calico", table="raw", rules=11),
            ruleset(LEGACY, "docker", table="nat", rules=9),
        )
        [finding] = found(rule_culprit(), rulesets)
        assert finding.title == "calico has rules in two backends, and the packet died in iptables-legacy"
        assert finding.evidence[0].startswith(
            "iptables-legacy holds 91 rules in tables with rules of calico, iptables-nft holds 115:"
        )

    @pytest.mark.parametrize(
        "backend, family, program",
        [
            (LEGACY, "ip", "iptables-legacy"),
            (LEGACY, "ip6", "ip6tables-legacy"),
            (NFT, "ip", "iptables-nft"),
            (NFT, "ip6", "ip6tables-nft"),
        ],
    )
    def test_names_the_program_of_the_stale_backend(self, backend, family, program):
        rulesets = [ruleset(backend, "calico", family=family) for backend in (LEGACY, NFT)]
        commands = commands_of(found(rule_culprit(backend=backend, family=family), rulesets))
        assert f"{program}-save | grep -v -e cali- -e cali: | {program}-restore" in commands

    @pytest.mark.parametrize("owner", sorted(known_owners().keys() - {"unknown"}))
    def test_its_commands_take_out_the_owners_lines_and_nothing_else(self, owner):
        rulesets = [ruleset(backend, owner) for backend in (LEGACY, NFT)]
        commands = commands_of(found(rule_culprit(owner=owner), rulesets))
        on_the_node, in_a_pod = (shlex.split(command) for command in commands if "grep -v" in command)
        signs = [*known_owners()[owner].chains, *known_owners()[owner].comments]
        grep = ["grep", "-v", *(word for sign in signs for word in ("-e", sign))]
        assert on_the_node == ["iptables-legacy-save", "|", *grep, "|", "iptables-legacy-restore"]
        assert in_a_pod[-3:-1] == ["sh", "-c"]
        assert shlex.split(in_a_pod[-1]) == on_the_node


def commands_of(findings):
    return [line.removeprefix("$ ") for finding in findings for line in finding.remedy if line.startswith("$ ")]


class TestWhatIsKnown:
    @pytest.mark.parametrize("entry", known(), ids=lambda entry: entry.id)
    def test_names_facts_that_exist(self, entry):
        texts = [entry.title, *entry.evidence, *entry.remedy]
        named = {name for text in texts for _, name, _, _ in string.Formatter().parse(text) if name is not None}
        assert named <= FACTS
        assert entry.when.keys() <= FACTS

    @pytest.mark.parametrize("entry", known(), ids=lambda entry: entry.id)
    def test_is_complete(self, entry):
        assert entry.severity in SEVERITIES
        assert entry.when
        assert entry.evidence
        assert entry.remedy

    def test_every_fact_is_asked_for_or_told(self):
        told = "".join(text for entry in known() for text in (entry.title, *entry.evidence, *entry.remedy))
        asked = {name for entry in known() for name in entry.when}
        of_the_culprit = set(Culprit.__struct_fields__)
        assert {fact for fact in FACTS - of_the_culprit if fact not in asked and f"{{{fact}}}" not in told} == set()


class TestHostileText:
    """Names on the node are whatever somebody wrote there."""

    BRACES = "{owner.__class__} {0} {} {rules_here!r:>999999999} {"

    @pytest.mark.parametrize("text", [BRACES, ATTACK, "%s %(owner)s", "$(reboot) `reboot` ; reboot | sh"])
    def test_is_text_and_no_part_of_a_command(self, text):
        names = ("hook", "device", "table", "chain", "rule")
        culprit = Culprit("rule", text, backend=LEGACY, family="ip", owner="calico", **dict.fromkeys(names, text))
        rulesets = [ruleset(backend, "calico", netns=text) for backend in (LEGACY, NFT)]
        [finding] = found(culprit, rulesets)
        assert finding.id == "stale-rules"
        assert all(text not in command for command in commands_of([finding]))

    @pytest.mark.parametrize("text", [BRACES, ATTACK])
    def test_is_told_as_it_is(self, text):
        culprit = Culprit("kernel", text, device=text, function="f", reason="SKB_DROP_REASON_IP_RPFILTER")
        [finding] = found(culprit)
        assert (
            f"in {text}: the route back to its source leads through another device than {text}." in finding.evidence[0]
        )

    def test_an_owner_that_nobody_knows_gets_no_commands(self):
        """A document from elsewhere may name any owner; `grep -v` of nothing would take everything out."""
        text = "x; reboot"
        rulesets = [ruleset(backend, text) for backend in (LEGACY, NFT)]
        assert commands_of(found(rule_culprit(owner=text), rulesets)) == []
