"""Hear the packet filters of every watched namespace, and turn what they say into rule events.

A namespace without tables is left alone. Where there are legacy tables, the namespace's nf_log setting is changed for
the time of the trace, under a lock and written down first (tracer.changes, tracer.netns_lock).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from tracer.changes import Changes
from tracer.document import HookFunction, RulesetSummary
from tracer.events import RuleEvent
from tracer.netfilter.evidence.legacy_trace import LegacyTraceReader, open_legacy_trace
from tracer.netfilter.evidence.mark import mark_flow
from tracer.netfilter.evidence.nf_log import TRACE_LOGGER
from tracer.netfilter.evidence.nft_trace import NftTraceReader, open_nft_trace
from tracer.netfilter.evidence.rules import legacy_rule_events, nft_rule_events
from tracer.netfilter.evidence.signature import ProbeMark
from tracer.netfilter.rule_texts import RuleTexts
from tracer.netns import Netns

_NF_LOG = {4: "net.netfilter.nf_log.2", 6: "net.netfilter.nf_log.10"}  # NFPROTO_IPV4, NFPROTO_IPV6


@dataclass(frozen=True)
class Listener:
    """The open readers of one namespace, and the texts of its rules."""

    netns: Netns
    nft: NftTraceReader
    legacy: LegacyTraceReader | None
    texts: RuleTexts


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
                self._listeners.append(self._open(netns, hooks, netns.inum in legacy))

    def _open(self, netns: Netns, hooks: Sequence[HookFunction], has_legacy: bool) -> Listener:
        mark = self._stack.enter_context(mark_flow(netns, self._mark))
        nft = self._stack.enter_context(open_nft_trace(netns, mark))
        legacy = None
        if has_legacy:
            legacy = self._stack.enter_context(open_legacy_trace(netns, mark))
            self._changes.set_sysctl(netns, _NF_LOG[self._mark.family], TRACE_LOGGER)
        return Listener(netns, nft, legacy, RuleTexts(netns, hooks, "ip" if self._mark.family == 4 else "ip6"))

    @property
    def sources(self) -> tuple[str, ...]:
        """Return which traces are listened to, in the document's words."""
        names = ["nft-trace"] if self._listeners else []
        return tuple(names + ["legacy-trace"] * any(each.legacy for each in self._listeners))

    def filenos(self) -> list[int]:
        """Return the descriptors that poll readable when a packet filter has spoken."""
        readers = [reader for each in self._listeners for reader in (each.nft, each.legacy) if reader]
        return [reader.fileno() for reader in readers]

    def read(self) -> list[RuleEvent]:
        """Return what was said since the last call, each namespace's backends one after the other."""
        events: list[RuleEvent] = []
        for each in self._listeners:
            events += nft_rule_events(each.netns.label, each.nft.read(), each.texts.nft_place)
            if each.legacy:
                events += legacy_rule_events(each.netns.label, each.legacy.read(), each.texts.legacy_rule)
        return events

    def lost(self) -> int:
        """Return how many messages did not reach us."""
        return sum(reader.lost for each in self._listeners for reader in (each.nft, each.legacy) if reader)

    def rulesets(self) -> tuple[RulesetSummary, ...]:
        """Return how much each backend holds in each namespace, and who wrote it."""
        return ()

    def notes(self) -> tuple[str, ...]:
        """Return what people should know about the evidence, in sentences."""
        return tuple(note for each in self._listeners for note in each.texts.nft.notes)
