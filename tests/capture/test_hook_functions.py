"""What was read of a namespace's hooks, as people see it."""

from __future__ import annotations

from tracer.capture.hook_functions import ordered
from tracer.capture.layout import RawHookFunction
from tracer.document import HookFunction

PREROUTING, INPUT, FORWARD, OUTPUT, POSTROUTING = range(5)
IP, INET, IP6 = 2, 1, 10


def raw(function, priority, hook=INPUT, order=0, **other):
    fields = {"ipv6": 0, "nat": 0, "nft_family": 0, "xt_table": "", "nft_table": "", "nft_chain": "", **other}
    return RawHookFunction(priority=priority, hook=hook, order=order, function=function, **fields)


def legacy(table, priority, **other):
    # What nft would be there is whatever lies behind the xt_table: it must not be looked at.
    return raw("ipt_do_table", priority, xt_table=table, nft_table="\\x90\\xff", nft_family=0x77, **other)


def nft(table, chain, priority, family=IP, **other):
    return raw(
        "nft_do_chain_ipv4", priority, nft_table=table, nft_chain=chain, nft_family=family, xt_table="?", **other
    )


def shown(entries):
    return [(entry.hook, entry.order, entry.backend, entry.table, entry.chain) for entry in entries]


def test_two_backends_at_one_priority_keep_the_kernels_order():
    entries = [nft("filter", "INPUT", 0), legacy("filter", 0, order=1)]
    assert shown(ordered("node", entries)) == [
        ("INPUT", 1, "iptables-nft", "filter", "INPUT"),
        ("INPUT", 2, "iptables-legacy", "filter", "INPUT"),
    ]
    assert [entry.backend for entry in ordered("node", entries[::-1])] == ["iptables-legacy", "iptables-nft"]


def test_a_native_chain_is_told_from_iptables_nft():
    entries = [nft("filter", "input", -1), nft("filter", "INPUT", 0, family=INET, order=1)]
    assert [entry.backend for entry in ordered("node", entries)] == ["nftables", "nftables"]


def test_only_the_lower_six_bits_of_the_family_are_the_family():
    [entry] = ordered("node", [nft("filter", "INPUT", 0, family=IP | 0xC0)])
    assert entry.backend == "iptables-nft"


def test_route_chains_of_mangle_are_chains_too():
    """In OUTPUT, iptables-nft's mangle is of the type `route` (iptables/nft.c)."""
    entries = [
        raw("nf_route_table_hook4", -150, hook=OUTPUT, nft_table="mangle", nft_chain="OUTPUT", nft_family=IP),
    ]
    assert shown(ordered("node", entries)) == [("OUTPUT", 1, "iptables-nft", "mangle", "OUTPUT")]


def test_what_is_no_packet_filter_has_no_backend():
    entries = [raw("ipv4_conntrack_in", -200, nft_table="stack rubbish", xt_table="\\xff")]
    assert list(ordered("netns:web", entries)) == [
        HookFunction("netns:web", "ipv4", "INPUT", 1, -200, "ipv4_conntrack_in", None, None, None)
    ]


def test_what_nat_runs_follows_the_nat_function():
    entries = [
        raw("ipv4_conntrack_in", -200, hook=PREROUTING),
        raw("nf_nat_ipv4_pre_routing", -100, hook=PREROUTING, order=1),
        nft("filter", "PREROUTING", 0, hook=PREROUTING, order=2),
        raw("nf_nat_ipv4_out", 100, hook=POSTROUTING),
        legacy("nat", -100, hook=PREROUTING, nat=1),
        raw("nft_nat_do_chain", -100, hook=PREROUTING, order=1, nat=1, nft_table="nat", nft_chain="PREROUTING"),
        legacy("nat", 100, hook=POSTROUTING, nat=1),
    ]
    assert [(entry.hook, entry.order, entry.function) for entry in ordered("node", entries)] == [
        ("PREROUTING", 1, "ipv4_conntrack_in"),
        ("PREROUTING", 2, "nf_nat_ipv4_pre_routing"),
        ("PREROUTING", 3, "ipt_do_table"),
        ("PREROUTING", 4, "nft_nat_do_chain"),
        ("PREROUTING", 5, "nft_do_chain_ipv4"),
        ("POSTROUTING", 1, "nf_nat_ipv4_out"),
        ("POSTROUTING", 2, "ipt_do_table"),
    ]


def test_the_families_are_kept_apart():
    entries = [
        raw("nf_nat_ipv4_local_in", 100),
        raw("nf_nat_ipv6_local_in", 100, ipv6=1),
        legacy("nat", 100, nat=1),
        raw("ip6t_do_table", 100, xt_table="nat", ipv6=1, nat=1),
    ]
    assert [(entry.family, entry.order, entry.function) for entry in ordered("node", entries)] == [
        ("ipv4", 1, "nf_nat_ipv4_local_in"),
        ("ipv4", 2, "ipt_do_table"),
        ("ipv6", 1, "nf_nat_ipv6_local_in"),
        ("ipv6", 2, "ip6t_do_table"),
    ]


def test_a_namespace_without_hooks():
    assert list(ordered("node", [])) == []
