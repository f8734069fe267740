"""Tell the tables that iptables-nft keeps in nf_tables from native ones.

The kernel does not say who made a table. iptables-nft knows its own by their names and by the type, hook and
priority of their base chains, and leaves everything else to `nft` (iptables/nft.c: xtables_ipv4, xtables_arp,
xtables_bridge, nft_is_chain_compatible). It makes a base chain only when one is first needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from tracer.netfilter.nft.kernel import BaseChain
from tracer.netfilter.ruleset import HOOKS, Backend, Family

_RAW = dict.fromkeys(("PREROUTING", "OUTPUT"), ("filter", -300))
_MANGLE = dict.fromkeys(HOOKS, ("filter", -150)) | {"OUTPUT": ("route", -150)}
_NAT = {
    "PREROUTING": ("nat", -100),
    "INPUT": ("nat", 100),
    "OUTPUT": ("nat", -100),
    "POSTROUTING": ("nat", 100),
}
_FILTER = dict.fromkeys(("INPUT", "FORWARD", "OUTPUT"), ("filter", 0))
_SECURITY = dict.fromkeys(("INPUT", "FORWARD", "OUTPUT"), ("filter", 150))
_IP = {"raw": _RAW, "mangle": _MANGLE, "nat": _NAT, "filter": _FILTER, "security": _SECURITY}

BUILT_IN: Mapping[str, Mapping[str, Mapping[str, tuple[str, int]]]] = MappingProxyType(
    {
        "ip": _IP,
        "ip6": _IP,
        "arp": {"filter": dict.fromkeys(("INPUT", "OUTPUT"), ("filter", 0))},
        "bridge": {
            "filter": dict.fromkeys(("INPUT", "FORWARD", "OUTPUT"), ("filter", -200)),
            "nat": {"PREROUTING": ("filter", -300), "OUTPUT": ("filter", 100), "POSTROUTING": ("filter", 300)},
        },
    }
)
"""Type and priority of iptables-nft's base chains, which are called as their hooks, by family and table."""


def backend_of(family: Family, table: str, base_chains: Iterable[BaseChain]) -> Backend:
    """Return which backend a table of nf_tables belongs to, given its base chains.

    One that iptables would call its own but for a base chain of somebody else is still iptables': see
    `is_built_in` for that chain. So is one without any, as kubelet's hint makes it.
    """
    if table not in BUILT_IN.get(family, {}):
        return "nftables"
    own = [is_built_in(family, table, chain) for chain in base_chains]
    return "iptables-nft" if any(own) or not own else "nftables"


def backend_of_base_chain(family: Family, table: str, chain: str, priority: int) -> Backend:
    """Return which backend a base chain belongs to, by what its hook tells of it."""
    known = BUILT_IN.get(family, {}).get(table, {}).get(chain)
    return "iptables-nft" if known is not None and known[1] == priority else "nftables"


def is_built_in(family: Family, table: str, chain: BaseChain) -> bool:
    """Say whether iptables-nft would take this base chain for its own."""
    known = BUILT_IN.get(family, {}).get(table, {}).get(chain.name)
    return chain.hook == chain.name and known == (chain.type, chain.priority)
