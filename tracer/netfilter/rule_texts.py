"""The text of the rules that matched, from both backends of one namespace, read when they are first asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tracer.document import HookFunction
from tracer.netfilter.evidence.rules import ChainEnd
from tracer.netfilter.legacy import LegacyTable, listed_tables, read_table
from tracer.netfilter.legacy.extension import IpFamily
from tracer.netfilter.ruleset import Backend, Family, Rule
from tracer.netns import Netns, run_in


class RuleTexts:
    """What the rules of one namespace say; the legacy tables are as they were when this was made."""

    def __init__(self, netns: Netns, hooks: Sequence[HookFunction], family: IpFamily) -> None:
        """Read the legacy tables of `family`; `hooks` tells which nf_tables tables are iptables-nft's."""
        self._netns = netns
        self._legacy: dict[str, LegacyTable] = run_in(netns, lambda: dict(_legacy_tables(family)))
        self._family = family
        self._iptables_nft = {e.table for e in hooks if (e.netns, e.backend) == (netns.label, "iptables-nft")}

    def legacy_rule(self, _family: Family, table: str, chain: str, position: int) -> Rule | ChainEnd | None:
        """Return a legacy rule, or what stands behind its chain's last one; None when there is no such chain."""
        place = self._legacy[table].places.get(chain) if table in self._legacy else None
        if place is None:
            return None
        return self._legacy[table].rule(chain, position) or ChainEnd(place.policy)

    def nft_rule(self, family: Family, table: str, chain: str, handle: int | None) -> tuple[Backend, Rule | None]:
        """Return whose table it is, and the rule; None for a handle that is no rule's."""
        backend: Backend = "nftables"
        if family in ("ip", "ip6") and table in self._iptables_nft:
            backend = "iptables-nft"
        return backend, None


def _legacy_tables(family: IpFamily) -> Iterator[tuple[str, LegacyTable]]:
    for name in listed_tables(family):
        yield name, read_table(family, name)
