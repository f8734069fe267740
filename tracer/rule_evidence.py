"""Hear the packet filters of every watched namespace, and turn what they say into rule events.

A namespace without tables is left alone. Where there are legacy tables, the namespace's nf_log setting is changed for
the time of the trace, under a lock and written down first (tracer.changes, tracer.netns_lock).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from tracer.changes import Changes
from tracer.document import HookFunction
from tracer.events import RuleEvent
from tracer.netfilter.evidence.legacy_trace import LegacyTraceReader, open_legacy_trace
from tracer.netfilter.evidence.mark import mark_flow
from tracer.netfilter.evidence.messages import LegacyEvidence, NftEvidence
from tracer.netfilter.evidence.nf_log import TRACE_LOGGER
from tracer.netfilter.evidence.nft_trace import NftTraceReader, open_nft_trace
from tracer.netfilter.evidence.rules import legacy_rule_events, nft_rule_events
from tracer.netfilter.evidence.signature import ProbeMark
from tracer.netfilter.evidence.table import OUR_TABLE
from tracer.netfilter.rule_texts import RuleTexts
from tracer.netns import Netns

NF_LOG = {4: "net.netfilter.nf_log.2", 6: "net.netfilter.nf_log.10"}  # NFPROTO_IPV4, NFPROTO_IPV6


@dataclass(frozen=True)
class Listener:
    """The open readers of one namespace, and what they have read."""

    netns: Netns
    nft: NftTraceReader
    legacy: LegacyTraceReader | None
    heard_nft: list[NftEvidence] = field(default_factory=list)
    heard_legacy: list[LegacyEvidence] = field(default_factory=list)


def without_marks(hooks: Iterable[HookFunction]) -> tuple[HookFunction, ...]:
    """Leave out the tables by which other traces mark their probes: they touch no packet but those."""
    return tuple(entry for entry in hooks if not (entry.table and OUR_TABLE.fullmatch(entry.table)))


def with_legacy_tables(namespaces: Iterable[Netns], hooks: Sequence[HookFunction]) -> tuple[Netns, ...]:
    """Return the namespaces in whose hooks a legacy table stands."""
    labels = {entry.netns for entry in hooks if entry.backend == "iptables-legacy"}
    return tuple(netns for netns in namespaces if netns.label in labels)


class RuleEvidence:
    """What both backends say of one probe; opens nothing in namespaces without tables."""

    def __init__(self, stack: ExitStack, changes: Changes, mark: ProbeMark) -> None:
        """Close what is opened when `stack` closes."""
        self._stack = stack
        self._changes = changes
        self._mark = mark
        self._listeners: list[Listener] = []

    def listen(self, namespaces: Sequence[Netns], hooks: Sequence[HookFunction]) -> None:
        """Set the mark and open the readers in each namespace that has tables. Raises CannotTraceError."""
        legacy = {netns.inum for netns in with_legacy_tables(namespaces, hooks)}
        filtered = {entry.netns for entry in hooks if entry.backend is not None}
        for netns in namespaces:
            if netns.label in filtered:
                self._listeners.append(self._open(netns, netns.inum in legacy))

    def _open(self, netns: Netns, has_legacy: bool) -> Listener:
        mark = self._stack.enter_context(mark_flow(netns, self._mark))
        nft = self._stack.enter_context(open_nft_trace(netns, mark))
        legacy = None
        if has_legacy:
            legacy = self._stack.enter_context(open_legacy_trace(netns, mark))
            self._changes.set_sysctl(netns, NF_LOG[self._mark.family], TRACE_LOGGER)
        return Listener(netns, nft, legacy)

    @property
    def sources(self) -> tuple[str, ...]:
        """Return which traces are listened to, in the document's words."""
        names = ["nft-trace"] if self._listeners else []
        return tuple(names + ["legacy-trace"] * any(each.legacy for each in self._listeners))

    def filenos(self) -> list[int]:
        """Return the descriptors that poll readable when a packet filter has spoken."""
        readers = [reader for each in self._listeners for reader in (each.nft, each.legacy) if reader]
        return [reader.fileno() for reader in readers]

    def discard(self) -> None:
        """Forget what was said so far, which was not of the probe: call it before that is sent."""
        for each in self._listeners:
            each.nft.discard()
            if each.legacy:
                each.legacy.discard()

    def read(self) -> None:
        """Take in what was said since the last call; it becomes events later, as looking rules up takes time."""
        for each in self._listeners:
            each.heard_nft.extend(each.nft.read())
            if each.legacy:
                each.heard_legacy.extend(each.legacy.read())

    def events(self, rules: Mapping[int, RuleTexts]) -> list[RuleEvent]:
        """Return all that was said, each namespace's backends one after the other.

        `rules` has the rules of each namespace by its inode number.
        """
        events: list[RuleEvent] = []
        for each in self._listeners:
            texts = rules[each.netns.inum]
            events += nft_rule_events(each.netns.label, each.heard_nft, texts.nft_place)
            events += legacy_rule_events(each.netns.label, each.heard_legacy, texts.legacy_rule)
        return events

    def lost(self) -> int:
        """Return how many messages did not reach us."""
        return sum(reader.lost for each in self._listeners for reader in (each.nft, each.legacy) if reader)
