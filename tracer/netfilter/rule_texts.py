"""What the rules of one namespace say, from both backends, each rule read when it is first asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

from tracer.document import RulesetSummary
from tracer.netfilter.evidence.rules import ChainEnd, NftPlace
from tracer.netfilter.legacy import LegacyTable, listed_tables, read_table
from tracer.netfilter.legacy.extension import IpFamily
from tracer.netfilter.nft.summary import summarize
from tracer.netfilter.nft.texts import NftTexts
from tracer.netfilter.owners import UNKNOWN, owner_of
from tracer.netfilter.ruleset import Family, Rule
from tracer.netns import Netns, run_in


class RuleTexts:
    """The rules of one namespace; the legacy tables are as they were when this was made."""

    def __init__(self, netns: Netns, family: IpFamily) -> None:
        """Read the legacy tables of `family`, and what tables there are; rules are rendered as they are asked for."""
        self._legacy: dict[str, LegacyTable] = run_in(netns, lambda: dict(_legacy_tables(family)))
        self._nft = NftTexts(netns)
        self._nft.read_ahead((family, "inet"))
        legacy = tuple(_summary(netns.label, table) for table in self._legacy.values())
        self.summaries = legacy + run_in(netns, lambda: summarize(netns.label))
        """How much each table holds, and who wrote it."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Which rules are not shown as their own tool prints them, in sentences."""
        return tuple(self._nft.notes)

    def legacy_rule(self, _family: Family, table: str, chain: str, position: int) -> Rule | ChainEnd | None:
        """Return a legacy rule, or what stands behind its chain's last one; None when there is no such chain."""
        place = self._legacy[table].places.get(chain) if table in self._legacy else None
        if place is None:
            return None
        return self._legacy[table].rule(chain, position) or ChainEnd(place.policy)

    def nft_place(self, family: Family, table: str, chain: str, handle: int | None) -> NftPlace:
        """Return whose an nf_tables chain is, its hook if it is a base chain, and its rule with this handle."""
        backend, rule = self._nft.look_up(family, table, chain, handle)
        return NftPlace(backend, self._nft.hook_of(family, table, chain), rule)


def read_texts(namespaces: Iterable[Netns], version: Literal[4, 6]) -> dict[int, RuleTexts]:
    """Return the rules of each namespace for an IP version, by the namespace's inode number."""
    return {netns.inum: RuleTexts(netns, "ip" if version == 4 else "ip6") for netns in namespaces}


def summaries(rules: Mapping[int, RuleTexts]) -> tuple[RulesetSummary, ...]:
    """Return how much each backend holds in each namespace, and who wrote it."""
    return tuple(summary for texts in rules.values() for summary in texts.summaries)


def notes_on(rules: Mapping[int, RuleTexts]) -> tuple[str, ...]:
    """Return which rules are not shown as their own tool prints them, in sentences."""
    return tuple(note for texts in rules.values() for note in texts.notes)


def _summary(netns: str, table: LegacyTable) -> RulesetSummary:
    owners = {owner_of(chain) for chain in table.chain_names} - {UNKNOWN}
    return RulesetSummary(
        netns=netns,
        backend="iptables-legacy",
        family=table.snapshot.family,
        table=table.name,
        chains=len(table.chain_names),
        rules=table.rule_count,
        owners=tuple(sorted(owners)),
    )


def _legacy_tables(family: IpFamily) -> Iterator[tuple[str, LegacyTable]]:
    for name in listed_tables(family):
        yield name, read_table(family, name)
