"""Say what a function in a netfilter hook is: which backend, table and chain stand behind it."""

from __future__ import annotations

from tracer.netfilter.ruleset import Family

NFPROTO: dict[int, Family] = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}
"""nf_tables families by number (include/uapi/linux/netfilter.h)."""

_LEGACY_PREFIXES = ("ipt_do_table", "ip6t_do_table", "iptable_", "ip6table_")  # the latter two before 5.15
_NFT_PREFIXES = ("nft_do_chain", "nft_nat_do_chain", "nf_route_table_")  # net/netfilter/nft_chain_{filter,nat,route}.c
_NAT_PREFIXES = ("nf_nat_ipv4_", "nf_nat_ipv6_", "nf_nat_inet_fn")


def is_legacy_table(function: str) -> bool:
    """Tell whether a hook function runs a legacy table; its `priv` is then the xt_table."""
    return function.startswith(_LEGACY_PREFIXES)


def is_nft_chain(function: str) -> bool:
    """Tell whether a hook function runs an nf_tables base chain; its `priv` is then the nft_chain."""
    return function.startswith(_NFT_PREFIXES)


def is_nat(function: str) -> bool:
    """Tell whether a hook function runs the NAT tables and chains that are registered inside it."""
    return function.startswith(_NAT_PREFIXES)
