from __future__ import annotations

from documents.pings import HOOKS
from msgspec.structs import replace
from streams import printed

from tracer.report.hooks import print_hooks


def test_functions_stand_in_order_under_their_hook():
    assert printed(print_hooks, HOOKS).splitlines()[:9] == [
        "node, ipv4, PREROUTING",
        "       priority  function               backend          table   chain",
        "  1        -400  ipv4_conntrack_defrag",
        "  2        -300  nft_do_chain_ipv4      iptables-nft     raw     PREROUTING",
        "  3        -300  ipt_do_table           iptables-legacy  raw     PREROUTING",
        "  4        -200  ipv4_conntrack_in",
        "  5        -150  nft_do_chain_ipv4      iptables-nft     mangle  PREROUTING",
        "  6        -150  ipt_do_table           iptables-legacy  mangle  PREROUTING",
        "  ! iptables-nft runs before iptables-legacy at priority -300 and -150",
    ]


def test_backends_that_share_a_priority_are_told_in_their_order():
    turned = tuple(replace(each, backend="nftables") if each.table == "mangle" else each for each in HOOKS)
    text = printed(print_hooks, (turned[2], turned[1], *turned[3:]))
    assert "! iptables-legacy runs before iptables-nft at priority -300\n" in text
    assert "! iptables-nft runs before iptables-legacy at priority 0\n" in text
    assert "priority -150\n" not in text
    assert "a drop by either" in " ".join(text.split())


def test_one_backend_alone_needs_no_warning():
    text = printed(print_hooks, tuple(each for each in HOOKS if each.backend != "iptables-legacy"))
    assert "!" not in text


def test_namespaces_and_families_are_apart():
    other = replace(HOOKS[0], netns="netns:new-pod", family="ipv6")
    assert "\nnetns:new-pod, ipv6, PREROUTING\n" in printed(print_hooks, (*HOOKS, other))


def test_nothing_registered_is_said():
    assert printed(print_hooks, ()) == "Nothing is registered at any netfilter hook.\n"
