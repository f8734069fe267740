"""What stands behind a hook function, by its name in the kernel."""

from __future__ import annotations

import socket

import pytest

from tracer.netfilter.hooks import NFPROTO, is_legacy_table, is_nat, is_nft_chain

LEGACY = (
    "ipt_do_table",
    "ip6t_do_table",
    "iptable_mangle_hook",
    "ip6table_mangle_hook",
    "iptable_filter_hook",
    "iptable_nat_do_chain",
)
NFT = (
    "nft_do_chain_ipv4",
    "nft_do_chain_ipv6",
    "nft_do_chain_inet",
    "nft_do_chain_inet_ingress",
    "nft_nat_do_chain",
    "nf_route_table_hook4",
    "nf_route_table_hook6",
    "nf_route_table_inet",
)
NAT = ("nf_nat_ipv4_pre_routing", "nf_nat_ipv4_local_fn", "nf_nat_ipv6_out", "nf_nat_inet_fn")
OTHER = (
    "ipv4_conntrack_defrag",
    "ipv4_conntrack_in",
    "nf_confirm",
    "nf_hook_run_bpf",
    "apparmor_ip_postroute",
    "br_nf_pre_routing",
    "ip_vs_in_hook",
)


@pytest.mark.parametrize("function", LEGACY + NFT + NAT + OTHER)
def test_a_function_is_one_thing(function):
    found = {is_legacy_table: LEGACY, is_nft_chain: NFT, is_nat: NAT}
    assert [kind.__name__ for kind in found if kind(function)] == [
        kind.__name__ for kind, functions in found.items() if function in functions
    ]


def test_families_are_numbered_as_the_kernel_does():
    """Three of them bear the numbers of address families (include/uapi/linux/netfilter.h)."""
    assert {name: number for number, name in NFPROTO.items()} == {
        "ip": socket.AF_INET,
        "ip6": socket.AF_INET6,
        "bridge": socket.AF_BRIDGE,
        "arp": 3,
        "inet": 1,
        "netdev": 5,
    }
