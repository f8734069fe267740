"""The rules of nf_tables, read in namespaces of the tests' own, against what the programs themselves print."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from anonymous_netns import anonymous, run

from tracer.document import RulesetSummary
from tracer.netfilter.nft import programs, rules, save, texts
from tracer.netfilter.nft.kernel import generation, rule_entries
from tracer.netfilter.nft.rulesets import read_chain, read_iptables_nft, read_nftables
from tracer.netfilter.nft.summary import summarize
from tracer.netfilter.nft.tables import nft_tables
from tracer.netfilter.nft.texts import NftTexts
from tracer.netns import run_in

IPTABLES = r"""*raw
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A PREROUTING -m mark --mark 0x40000/0x40000 -m rpfilter --validmark --invert -j DROP
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-SVC-ERIFX - [0:0]
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A KUBE-SERVICES -d 10.96.0.10/32 -p tcp -m comment --comment "ns/dns:tcp" -m tcp --dport 53 -j KUBE-SVC-ERIFX
-A KUBE-SVC-ERIFX -m comment --comment "ns/dns:tcp" -m statistic --mode random --probability 0.50000000000 -j RETURN
-A KUBE-SVC-ERIFX -p tcp -j DNAT --to-destination 10.244.0.2:53
-A KUBE-SVC-ERIFX -j MARK --set-xmark 0x4000/0x4000
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:cali-INPUT - [0:0]
:cali-wl-to-host - [0:0]
:odd;name|~$^/x - [0:0]
-A INPUT -m comment --comment "cali:Cz_u1IQiXIMmKD4c" -j cali-INPUT
-A INPUT
-A INPUT -p gre -m comment --comment "one -j ACCEPT" -m comment --comment "two \"quoted\" \\ back\\" -j DROP
-A FORWARD -m conntrack --ctstate INVALID -j REJECT --reject-with icmp-port-unreachable
-A cali-INPUT -i cali+ -m comment --comment "cali:abc" -g cali-wl-to-host
-A cali-INPUT -j MARK --set-xmark 0x0/0xf0000
-A cali-wl-to-host -j odd;name|~$^/x
-A odd;name|~$^/x -s 10.0.0.0/8 ! -d 10.1.0.0/16 -p udp -m multiport --dports 53,80:90 -j LOG
-A odd;name|~$^/x -j LOG --log-prefix "it\'s \"odd\" "
COMMIT
"""

NATIVE = """
table inet guard {
	set peers { type ipv4_addr; elements = { 10.0.0.1, 10.0.0.2 } }
	chain input {
		comment "about # handle 3"
		type filter hook input priority -5; policy drop;
		ct state established,related accept comment "kept # handle 7"
		icmp type echo-request counter limit rate 1/second accept
		ip saddr { 10.0.0.1, 10.0.0.2, 10.0.0.3 } tcp dport { 22, 80 } drop
		ip saddr @peers jump sub
		tcp dport vmap { 22 : accept, 80 : jump sub }
	}
	chain sub { meta mark set 0x10; return; }
}
"""


@pytest.fixture
def node():
    with anonymous("node") as netns:
        yield netns


@pytest.fixture
def filtered(node):
    run(node, "iptables-nft-restore", stdin=IPTABLES)
    run(node, "nft", "-f", "-", stdin=NATIVE)
    return node


@pytest.fixture(params=[0, 10**9], ids=["by chain", "by table"])
def extent(request, monkeypatch):
    """Read chains by themselves, or with the whole of their tables."""
    monkeypatch.setattr(texts, "_SMALL", request.param)


@pytest.fixture
def only(tmp_path, monkeypatch):
    """Leave only the named programs to be found."""

    def leave(*names):
        for name in names:
            (tmp_path / name).symlink_to(f"/usr/sbin/{name}")
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setattr(programs, "_ALSO", ())

    return leave


def saved_rules(netns, program="iptables-nft-save"):
    """Return the rules that iptables-nft-save prints, sorted as tables hold them: by table and chain."""
    return [line for line in run(netns, program).splitlines() if line.startswith("-A ")]


def look_up_all(netns, found, family, table, chain):
    entries = run_in(netns, lambda: rule_entries(family, table, [chain]))[chain]
    return [found.look_up(family, table, chain, entry.handle) for entry in entries]


def nft_handle(netns, family, table, chain, text):
    """Return the handle that nft itself prints behind a rule with this text."""
    lines = run(netns, "nft", "-a", "list", "chain", family, table, chain).splitlines()
    (line,) = (line for line in lines if text in line)
    return int(line.rsplit("# handle ", 1)[1])


def test_iptables_rules_are_as_saved(filtered, extent):
    found = NftTexts(filtered)
    tables = run_in(filtered, nft_tables)
    seen = []
    for (family, table), entry in tables.items():
        if family == "ip":
            for chain in entry.chains:
                if run_in(filtered, lambda t=table, c=chain: rule_entries("ip", t, [c])):
                    seen += look_up_all(filtered, found, "ip", table, chain)
    assert {backend for backend, _ in seen} == {"iptables-nft"}
    assert sorted(rule.text for _, rule in seen) == sorted(saved_rules(filtered))
    assert sorted(rule.text for _, rule in seen) == sorted(
        line for line in IPTABLES.splitlines() if line.startswith("-A")
    )
    assert found.notes == []


def test_a_rule_has_its_position_target_and_owner(filtered, extent):
    handle = nft_handle(filtered, "ip", "filter", "cali-INPUT", "goto")
    backend, rule = NftTexts(filtered).look_up("ip", "filter", "cali-INPUT", handle)
    assert backend == "iptables-nft"
    assert (rule.position, rule.handle, rule.target, rule.owner) == (1, handle, "cali-wl-to-host", "calico")
    assert rule.text == '-A cali-INPUT -i cali+ -m comment --comment "cali:abc" -g cali-wl-to-host'


def test_native_rules_are_in_nft_syntax(filtered, extent):
    found = NftTexts(filtered)
    seen = look_up_all(filtered, found, "inet", "guard", "input")
    assert {backend for backend, _ in seen} == {"nftables"}
    assert [rule.text for _, rule in seen] == [
        'ct state established,related accept comment "kept # handle 7"',
        "icmp type echo-request counter limit rate 1/second accept",
        "ip saddr { 10.0.0.1, 10.0.0.2, 10.0.0.3 } tcp dport { 22, 80 } drop",
        "ip saddr @peers jump sub",
        "tcp dport vmap { 22 : accept, 80 : jump sub }",
    ]
    assert [rule.position for _, rule in seen] == [1, 2, 3, 4, 5]
    assert [rule.target for _, rule in seen] == ["accept", "accept", "drop", "sub", ""]
    drop = nft_handle(filtered, "inet", "guard", "input", "dport { 22, 80 } drop")
    assert found.look_up("inet", "guard", "input", drop)[1].position == 3


def test_ipv6_rules(node, extent):
    text = "-A INPUT -s fd00::/64 -p ipv6-icmp -m icmp6 --icmpv6-type 128 -j DROP"
    run(node, "ip6tables-nft", *text.split())
    ((backend, rule),) = look_up_all(node, NftTexts(node), "ip6", "filter", "INPUT")
    assert (backend, rule.text) == ("iptables-nft", text)


def test_reading_changes_nothing(node):
    def everything():
        assert read_iptables_nft("ip").tables == ()
        assert read_iptables_nft("ip6").tables == ()
        assert read_nftables().tables == ()
        assert summarize("node") == ()
        assert save.save_tables("ip").tables == {}
        assert save.chain_rules("ip", "filter", "INPUT") == []
        assert save.save_tables("ip6").tables == {}

    before = run_in(node, generation)
    run_in(node, everything)
    assert run_in(node, generation) == before
    assert run(node, "nft", "list", "ruleset") == ""
    for names in ("ip_tables_names", "ip6_tables_names"):
        path = Path("/proc/thread-self/net") / names
        assert run_in(node, path.read_text) == ""


def test_reading_what_is_there_changes_nothing(filtered):
    before = run_in(filtered, generation), run(filtered, "nft", "list", "ruleset")
    run_in(filtered, lambda: (read_iptables_nft("ip"), read_nftables(), summarize("node")))
    look_up_all(filtered, NftTexts(filtered), "ip", "filter", "INPUT")
    assert (run_in(filtered, generation), run(filtered, "nft", "list", "ruleset")) == before


def test_whole_rulesets(filtered):
    reading = run_in(filtered, lambda: read_iptables_nft("ip"))
    assert [table.name for table in reading.tables] == ["raw", "nat", "filter"]
    read = [rule.text for table in reading.tables for chain in table.chains for rule in chain.rules]
    assert sorted(read) == sorted(saved_rules(filtered))
    forward = next(chain for chain in reading.tables[2].chains if chain.name == "FORWARD")
    assert (forward.hook, forward.priority, forward.policy) == ("FORWARD", 0, "DROP")
    native = run_in(filtered, read_nftables)
    assert [(table.family, table.name) for table in native.tables] == [("inet", "guard")]
    assert run_in(filtered, lambda: read_chain("inet", "guard", "input")) == native.tables[0].chains[0]
    assert (native.tables[0].chains[0].priority, native.tables[0].chains[0].policy) == (-5, "drop")
    assert (reading.notes, native.notes) == ((), ())


def test_an_iptables_chain_in_nft_syntax(filtered):
    chain = run_in(filtered, lambda: read_chain("ip", "filter", "cali-INPUT"))
    assert chain.rules[0].text == 'iifname "cali*"  counter goto cali-wl-to-host'


def test_a_chain_that_is_not_there_is_empty(filtered):
    assert run_in(filtered, lambda: read_chain("ip", "filter", "none")).rules == ()
    assert run_in(filtered, lambda: read_chain("ip", "none", "none")).rules == ()
    assert NftTexts(filtered).look_up("ip", "none", "none", 7) == ("nftables", None)
    assert NftTexts(filtered).look_up("ip", "filter", "none", 7) == ("iptables-nft", None)


HOSTILE = [
    "x",
    "a b",
    "drop",
    "1abc",
    "-F",
    "x;flush ruleset",
    "x; add table ip pwned",
    'q"q',
    "new\nline",
    "a # {",
    "--",
]


@pytest.fixture
def hostile(node):
    """Make chains with names that no program would give, in a native table and in one of iptables."""
    run(node, "iptables-nft", "-A", "INPUT", "-j", "ACCEPT")
    commands = [
        {"add": {kind: {"family": family, "table": table, "chain" if kind == "rule" else "name": name} | more}}
        for family, table in (("ip", "filter"), ("inet", "mine"))
        for name in HOSTILE
        for kind, more in (("chain", {}), ("rule", {"expr": [{"counter": None}, {"drop": None}]}))
    ]
    table = {"add": {"table": {"family": "inet", "name": "mine"}}}
    run(node, "nft", "-j", "-f", "-", stdin=json.dumps({"nftables": [table, *commands]}))
    return node


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("family, table", [("ip", "filter"), ("inet", "mine")])
def test_hostile_chain_names_are_only_names(hostile, extent, family, table, name):
    before = run(hostile, "nft", "list", "ruleset")
    ((_, rule),) = look_up_all(hostile, NftTexts(hostile), family, table, name)
    assert rule.position == 1
    if name == "new\nline":
        assert "handle" in rule.text or rule.text.endswith(("drop", "-j DROP"))
    else:
        assert rule.text in ("counter drop", f"-A {name} -j DROP")
    assert run(hostile, "nft", "list", "ruleset") == before


def test_a_comment_that_looks_like_rules_stays_one_rule(node, extent):
    comment = "x\n-A INPUT -j ACCEPT\nCOMMIT\n*filter\n:INPUT ACCEPT [0:0]"
    run(node, "iptables-nft", "-A", "INPUT", "-m", "comment", "--comment", comment, "-j", "DROP")
    run(node, "iptables-nft", "-A", "INPUT", "-j", "LOG")
    found = NftTexts(node)
    drop, log = (rule for _, rule in look_up_all(node, found, "ip", "filter", "INPUT"))
    assert (drop.text, drop.target) == (f'-A INPUT -m comment --comment "{comment}" -j DROP', "DROP")
    assert (log.position, log.text) == (2, "-A INPUT -j LOG")
    assert found.notes == []


@pytest.mark.parametrize("comment", ["x # handle 9\n\t\taccept", "x # handle 9\naccept"])
def test_a_native_comment_that_looks_like_rules_is_not_believed(node, extent, comment):
    """The `nft` program prints such a comment as it is; only the kernel's handles tell that it is no rule."""
    rule = {"family": "inet", "table": "mine", "chain": "input", "comment": comment}
    objects = [
        {"add": {"table": {"family": "inet", "name": "mine"}}},
        {"add": {"chain": {"family": "inet", "table": "mine", "name": "input"}}},
        {"add": {"rule": rule | {"expr": [{"drop": None}]}}},
    ]
    run(node, "nft", "-j", "-f", "-", stdin=json.dumps({"nftables": objects}))
    found = NftTexts(node)
    ((_, rule),) = look_up_all(node, found, "inet", "mine", "input")
    assert rule.position == 1
    assert rule.text.startswith(f"handle {rule.handle} (")
    assert "cannot be told apart" in rule.text
    assert "without their text" in found.notes[0]


def test_without_nft_rules_have_their_handle(filtered, extent, only):
    only()
    found = NftTexts(filtered)
    seen = look_up_all(filtered, found, "inet", "guard", "input")
    assert [rule.position for _, rule in seen] == [1, 2, 3, 4, 5]
    for _, rule in seen:
        assert rule.text == f"handle {rule.handle} (no nft program on this node to print the text of rules)"
    assert found.notes == [
        "Rules of table inet guard are shown without their text: no nft program on this node to print the text of rules"
    ]


def test_without_iptables_nft_stands_in(filtered, extent, only):
    only("nft")
    found = NftTexts(filtered)
    ((_, rule), _) = look_up_all(filtered, found, "ip", "filter", "cali-INPUT")
    assert (rule.text, rule.target) == ('iifname "cali*"  counter goto cali-wl-to-host', "cali-wl-to-host")
    (note,) = found.notes
    assert "table ip filter are not as iptables-nft would save them: no iptables-nft program" in note


def test_the_multi_program_stands_in_for_its_links(filtered, extent, only):
    only("xtables-nft-multi")
    found = NftTexts(filtered)
    ((_, rule), _) = look_up_all(filtered, found, "ip", "filter", "cali-INPUT")
    assert rule.text == '-A cali-INPUT -i cali+ -m comment --comment "cali:abc" -g cali-wl-to-host'
    assert found.notes == []


@pytest.mark.parametrize(
    "native",
    [
        "tcp dport vmap { 22 : accept }",  # iptables-nft 1.8.9 shows it as `-p tcp`
        "ip saddr @peers counter drop",  # as `-j DROP`
        "meta mark set 0x00000010",  # not at all
        "ct state established accept",  # this one it refuses
        "ct state established counter accept",
    ],
)
def test_a_native_rule_among_those_of_iptables_is_in_nft_syntax(filtered, extent, native):
    run(filtered, "nft", "add set ip filter peers { type ipv4_addr; }")
    run(filtered, "nft", f"add rule ip filter cali-INPUT {native}")
    found = NftTexts(filtered)
    assert look_up_all(filtered, found, "ip", "filter", "INPUT")[1][1].text == "-A INPUT"
    backend, rule = look_up_all(filtered, found, "ip", "filter", "cali-INPUT")[-1]
    assert (backend, rule.text) == ("iptables-nft", native)
    (note,) = found.notes
    assert "table ip filter are not as iptables-nft would save them" in note
    assert "cali-INPUT" in note


def test_a_native_base_chain_among_iptables_chains(filtered, extent):
    run(filtered, "nft", "add chain ip filter mine { type filter hook input priority 5; }")
    run(filtered, "nft", "add rule ip filter mine counter drop")
    found = NftTexts(filtered)
    ((backend, rule),) = look_up_all(filtered, found, "ip", "filter", "mine")
    assert (backend, rule.text) == ("nftables", "counter drop")
    assert {backend for backend, _ in look_up_all(filtered, found, "ip", "filter", "INPUT")} == {"iptables-nft"}
    assert look_up_all(filtered, found, "ip", "filter", "INPUT")[1][1].text == "-A INPUT"
    assert found.notes == []


def test_a_rule_that_is_gone_is_none_and_a_new_one_is_found(filtered, extent):
    found = NftTexts(filtered)
    handle = nft_handle(filtered, "inet", "guard", "sub", "return")
    assert found.look_up("inet", "guard", "sub", handle)[1].text == "return"
    run(filtered, "nft", "add", "rule", "inet", "guard", "sub", "counter", "drop")
    new = nft_handle(filtered, "inet", "guard", "sub", "drop")
    assert found.look_up("inet", "guard", "sub", new)[1].position == 3
    run(filtered, "nft", "delete", "rule", "inet", "guard", "sub", "handle", str(new))
    assert NftTexts(filtered).look_up("inet", "guard", "sub", new) == ("nftables", None)


def test_a_chain_end_reads_no_rules(filtered, only):
    only()
    found = NftTexts(filtered)
    assert found.look_up("inet", "guard", "input", None) == ("nftables", None)
    assert found.look_up("ip", "filter", "INPUT", None) == ("iptables-nft", None)
    assert found.notes == []


def test_rules_that_change_all_the_time_are_told(filtered, monkeypatch):
    numbers = iter(range(1000))
    monkeypatch.setattr(rules, "generation", lambda: next(numbers))
    found = NftTexts(filtered)
    (_, rule) = look_up_all(filtered, found, "inet", "guard", "sub")[1]
    assert (rule.position, rule.text) == (
        2,
        f"handle {rule.handle} (table inet guard changes faster than it can be read)",
    )


def test_summary(filtered):
    run(filtered, "nft", "add table inet tracer-0123456789abcdef; add chain inet tracer-0123456789abcdef input")
    run(filtered, "nft", "add", "rule", "inet", "guard", "sub", "counter", "comment", '"cali:xyz"')
    assert run_in(filtered, lambda: summarize("node")) == (
        RulesetSummary("node", "iptables-nft", "ip", "raw", 2, 1, ("unknown",)),
        RulesetSummary("node", "iptables-nft", "ip", "nat", 3, 5, ("kube-proxy",)),
        RulesetSummary("node", "iptables-nft", "ip", "filter", 6, 9, ("calico", "unknown")),
        RulesetSummary("node", "nftables", "inet", "guard", 2, 8, ("calico", "unknown")),
    )


NOT_ROOT = """
from tracer.errors import CannotTraceError
from tracer.netfilter.nft.kernel import chains
try:
    chains()
except CannotTraceError as error:
    print(error)
"""


def test_who_is_not_root_is_told(node):
    told = run(node, "setpriv", "--reuid=65534", "--clear-groups", "--no-new-privs", sys.executable, "-c", NOT_ROOT)
    assert "does not tell its rules: Operation not permitted" in told
    assert "Run as root" in told
