"""From recorded events to the same documents, whole, in any order, and with some of them lost."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from msgspec.structs import replace
from recordings import again, traces
from sightings import CAPTURE, DELIVERED, FLOW, HOST

from tracer.conclude import conclude
from tracer.document import Addresses
from tracer.events import DeviceEvent, FreedEvent, HookEvent, RuleEvent, SocketEvent

TRACES = traces()
EACH = pytest.mark.parametrize("name", TRACES)
OUTCOMES = {"delivered", "request_lost", "reply_lost", "no_reply", "rejected"}
UNKNOWN_INTERFACE = (
    '-A cali-from-wl-dispatch -m comment --comment "cali:sSntktI7OPwsLWdB" '
    '-m comment --comment "Unknown interface" -j DROP'
)


def lost(*outcomes):
    return [name for name, trace in TRACES.items() if trace.verdict.outcome in outcomes]


@EACH
def test_the_same_events_give_the_same_document(name):
    """If this fails after a change of what is meant to be said: see tests/recordings.py."""
    stored, derived = TRACES[name], again(TRACES[name])
    assert derived.verdict == stored.verdict
    assert derived.findings == stored.findings
    assert derived.legs == stored.legs
    assert derived == stored


@EACH
def test_the_order_of_the_events_does_not_matter(name):
    shuffled = list(TRACES[name].events)
    random.Random(name).shuffle(shuffled)
    assert again(TRACES[name], events=shuffled) == TRACES[name]


@EACH
def test_nothing_that_a_rule_said_is_left_out(name):
    trace = TRACES[name]
    said = Counter((event.leg, event.backend, event.chain, event.verdict) for event in rules_of(trace))
    shown = Counter(
        (leg.leg, each.backend, each.chain, each.verdict)
        for leg in trace.legs
        for hop in leg.hops
        for each in hop.decisions
    )
    assert shown == said


@EACH
def test_every_rule_says_at_which_hook_it_stands(name):
    assert [event for event in rules_of(TRACES[name]) if not event.hook] == []


def test_a_packet_that_ended_where_nobody_watches_is_not_said_to_have_ended_here():
    culprit = TRACES["kernel-drops/lost-behind-a-router/before"].verdict.culprit
    assert culprit.netns.startswith("netns:[")
    assert (culprit.hook, culprit.device) == (None, None)


@EACH
def test_hops_are_in_time_order(name):
    for leg in TRACES[name].legs:
        times = [hop.at_ns for hop in leg.hops]
        assert times == sorted(times)


@EACH
def test_decisions_at_a_hook_are_in_the_hooks_true_order(name):
    trace = TRACES[name]
    version = "ipv6" if ":" in trace.flow.source.address else "ipv4"
    for leg in trace.legs:
        for hop in leg.hops:
            order = {
                (entry.backend, entry.table, entry.chain): entry.order
                for entry in trace.hooks
                if (entry.netns, entry.hook, entry.family) == (hop.netns, hop.place, version)
            }
            base_chains = [
                order[key]
                for each in hop.decisions
                if (key := (each.backend, each.table, each.chain)) in order and each.verdict != "return"
            ]
            assert base_chains == sorted(base_chains)


def rules_of(trace):
    return [event for event in trace.events if isinstance(event, RuleEvent)]


def test_all_outcomes_but_one_are_recorded():
    """What the kernel refuses to send has no event but the refusal: tests/test_verdict.py."""
    assert {trace.verdict.outcome for trace in TRACES.values()} == OUTCOMES


class TestFlagship:
    REQUEST = TRACES["calico-backend-split/new-to-node/before"]
    REPLY = TRACES["calico-backend-split/node-to-new/before"]
    DNS = TRACES["calico-backend-split/new-to-kube-dns/before"]
    ENDING = (
        "by iptables-legacy, table filter, chain cali-from-wl-dispatch, rule 3: "
        f"{UNKNOWN_INTERFACE}. iptables-nft ran first at this hook and accepted it."
    )

    @pytest.mark.parametrize(
        "trace, opening",
        [
            (REQUEST, "Request lost: the request from netns:new to node was dropped in node at INPUT"),
            (REPLY, "Reply lost: the reply from netns:new to node was dropped in node at INPUT"),
            (DNS, "Request lost: the request from netns:new to 10.96.0.10 was dropped in node at FORWARD"),
        ],
    )
    def test_says_it_in_one_sentence_and_who_ran_first(self, trace, opening):
        assert trace.verdict.summary == f"{opening} {self.ENDING}"
        assert (trace.verdict.confidence, trace.verdict.basis) == ("observed", "")
        assert [finding.id for finding in trace.findings] == ["stale-rules"]

    def test_both_backends_are_heard_at_the_hook_nft_first(self):
        [hop] = [hop for hop in self.REPLY.legs[1].hops if (hop.netns, hop.place) == ("node", "INPUT")]
        filters = [each for each in hop.decisions if each.table == "filter"]
        backends = [each.backend for each in filters]
        assert backends == sorted(backends, key=["iptables-nft", "iptables-legacy"].index)
        assert [each.verdict for each in filters if each.backend == "iptables-nft"][-1] == "accept"
        assert (filters[-1].backend, filters[-1].chain, filters[-1].rule) == (
            "iptables-legacy",
            "cali-from-wl-dispatch",
            UNKNOWN_INTERFACE,
        )

    def test_the_other_way_round_it_says_so_too(self):
        """As it is where the legacy rules were loaded last."""
        swapped = [replace(entry, order=_swapped(entry, self.REPLY.hooks)) for entry in self.REPLY.hooks]
        hooks = sorted(swapped, key=lambda entry: (entry.netns, entry.family, entry.hook, entry.order))
        said = [event for event in self.REPLY.events if not _is_in_nft_filter_input(event)]
        verdict = again(self.REPLY, hooks=tuple(hooks), events=said).verdict
        assert verdict.culprit == self.REPLY.verdict.culprit
        assert verdict.summary.endswith(
            ". iptables-legacy ran first at this priority: iptables-nft did not see the packet there."
        )


def _swapped(entry, hooks):
    """Return the order of an entry where the two that share its hook and priority have changed places."""
    same = ("netns", "family", "hook", "priority")
    peers = [one for one in hooks if all(getattr(one, name) == getattr(entry, name) for name in same) and one.backend]
    orders = sorted(one.order for one in peers)
    return orders[-1 - orders.index(entry.order)] if entry in peers and len(peers) == 2 else entry.order


def _is_in_nft_filter_input(event):
    return isinstance(event, RuleEvent) and (event.leg, event.backend, event.table, event.hook) == (
        "reply",
        "iptables-nft",
        "filter",
        "INPUT",
    )


class TestLoss:
    """What is missing makes a verdict less sure, and never wrong in silence."""

    @pytest.mark.parametrize("name", lost("request_lost", "reply_lost"))
    def test_without_the_last_event_the_rest_is_told_or_inferred(self, name):
        trace = TRACES[name]
        last = max(trace.events, key=lambda event: (isinstance(event, FreedEvent), event.at_ns))
        verdict = again(trace, events=[event for event in trace.events if event != last]).verdict
        if trace.verdict.culprit.kind == "kernel":
            assert (verdict.confidence, verdict.basis != "") == ("inferred", True)
        else:
            assert (verdict.outcome, verdict.culprit) == (trace.verdict.outcome, trace.verdict.culprit)

    @pytest.mark.parametrize(
        "name", [name for name in lost("request_lost", "reply_lost") if TRACES[name].verdict.culprit.verdict == "drop"]
    )
    def test_without_the_rule_that_dropped_it_its_table_is_inferred_or_not_named(self, name):
        """Never another backend's: what all else said clears it."""
        trace = TRACES[name]
        culprit = trace.verdict.culprit
        rest = [event for event in trace.events if not _is_drop(event, culprit)]
        verdict = again(trace, events=rest).verdict
        assert (verdict.outcome, verdict.confidence) == (trace.verdict.outcome, "inferred")
        assert verdict.culprit.backend in (culprit.backend, None)
        assert verdict.culprit.kind == "kernel"

    def test_of_the_flagships_rule_leaves_its_base_chain(self):
        trace = TestFlagship.REPLY
        rest = [event for event in trace.events if not _is_drop(event, trace.verdict.culprit)]
        verdict = again(trace, events=rest).verdict
        assert (verdict.culprit.backend, verdict.culprit.table, verdict.culprit.chain) == (
            "iptables-legacy",
            "filter",
            "INPUT",
        )

    @pytest.mark.parametrize("name", lost("request_lost", "reply_lost"))
    def test_of_everything_behind_the_first_sighting_is_no_claim(self, name):
        trace = TRACES[name]
        socket = [event for event in trace.events if isinstance(event, SocketEvent)]
        verdict = again(trace, events=socket).verdict
        assert (verdict.outcome, verdict.confidence) in (("request_lost", "inferred"), ("not_sent", "observed"))

    @pytest.mark.parametrize("name", lost("delivered"))
    def test_of_all_packet_events_does_not_hide_that_it_was_delivered(self, name):
        trace = TRACES[name]
        rest = [event for event in trace.events if not isinstance(event, DeviceEvent | HookEvent | FreedEvent)]
        assert again(trace, events=rest).verdict.outcome == "delivered"

    @pytest.mark.parametrize("name", lost("request_lost", "reply_lost", "rejected"))
    def test_of_any_one_event_blames_nobody_else(self, name):
        """One event less may leave nobody to blame, and never blames another rule."""
        trace = TRACES[name]
        for index in range(len(trace.events)):
            culprit = again(trace, events=trace.events[:index] + trace.events[index + 1 :]).verdict.culprit
            if culprit is not None and culprit.kind != "kernel":
                assert culprit.rule == trace.verdict.culprit.rule

    def test_is_told(self):
        trace = TRACES["answers/echo-ignored/before"]
        document = again(trace, capture=replace(trace.capture, lost=2))
        assert document.capture.lost == 2
        assert document.verdict.basis == f"{trace.verdict.basis}; events lost: 2"


def _is_drop(event, culprit):
    return isinstance(event, RuleEvent) and event.verdict == "drop" and event.rule == culprit.rule


class TestTranslation:
    """Through destination NAT in one backend and source NAT in the other, on both legs."""

    @staticmethod
    def changes(name):
        return [
            (leg.leg, hop.netns, hop.place, hop.translated_from, hop.address_from, hop.address_to)
            for leg in TRACES[name].legs
            for hop in leg.hops
            if hop.translated_from
        ]

    @pytest.mark.parametrize(
        "name, client, service, node, server",
        [
            ("service-dns", "10.1.0.2:{}", "10.96.0.10:5353", "10.2.0.1:{}", "10.2.0.2:53"),
            ("service-udp", "10.1.0.2:{}", "10.96.0.10:70", "10.2.0.1:{}", "10.2.0.2:7"),
            ("service-tcp-6", "[fd01::2]:{}", "[fd96::10]:80", "[fd02::1]:{}", "[fd02::2]:8080"),
        ],
    )
    def test_of_both_ends(self, name, client, service, node, server):
        name = f"translated/{name}/before"
        client = client.format(TRACES[name].flow.source.port)
        there, masqueraded, back, done = self.changes(name)
        node = node.format(masqueraded[-2].rpartition(":")[2])  # whichever port the rule took
        assert there == ("request", "node", "PREROUTING", Addresses(client, service), client, server)
        assert masqueraded == ("request", "node", "POSTROUTING", Addresses(client, server), node, server)
        assert back == ("reply", "node", "PREROUTING", Addresses(server, node), server, client)
        assert done == ("reply", "node", "POSTROUTING", Addresses(server, client), service, client)

    def test_of_what_the_node_itself_sends(self):
        assert [change[:3] for change in self.changes("translated/node-to-service/before")] == [
            ("request", "node", "OUTPUT"),
            ("reply", "node", "INPUT"),
        ]

    def test_of_an_echo(self):
        there, back = self.changes("translated/ping/before")
        assert there[3:] == (Addresses("10.1.0.2", "10.2.0.2"), "10.2.0.1", "10.2.0.2")
        assert back[3:] == (Addresses("10.2.0.2", "10.2.0.1"), "10.2.0.2", "10.1.0.2")

    def test_of_a_service_of_kube_proxy(self):
        changes = self.changes("healthy/new-to-kube-dns/before")
        assert [change[:3] for change in changes] == [
            ("request", "node", "PREROUTING"),
            ("reply", "node", "POSTROUTING"),
        ]
        assert changes[0][3].address_to == changes[1][4] == "10.96.0.10:53"


def test_all_that_was_given_is_in_the_document():
    hooks = TRACES["healthy/new-to-node/before"].hooks
    document = conclude(FLOW, HOST, CAPTURE, list(hooks), [], list(DELIVERED))
    assert (document.flow, document.host, document.capture, document.hooks) == (FLOW, HOST, CAPTURE, hooks)
    assert (document.events, document.rulesets, document.schema) == (DELIVERED, (), "tracer/trace/1")
