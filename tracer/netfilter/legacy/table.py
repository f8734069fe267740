"""One legacy table: its chains are found at once, their rules are rendered when they are asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tracer.errors import CannotTraceError
from tracer.netfilter.legacy.entry import EXTENSION, LAYOUTS, NAME_AT, VERDICTS, rule_text, target_place, verdict
from tracer.netfilter.legacy.extension import Context
from tracer.netfilter.legacy.sockopt import Snapshot
from tracer.netfilter.legacy.text import string
from tracer.netfilter.owners import owner_of
from tracer.netfilter.ruleset import Chain, Rule, Table

ERROR = b"ERROR\0"  # XT_ERROR_TARGET of linux/netfilter/x_tables.h
ERROR_NAME_SIZE = 30  # XT_FUNCTION_MAXNAMELEN


@dataclass(frozen=True)
class ChainPlace:
    """A chain and the bytes at which its rules begin, in order; `hook` and `policy` where it is a base chain."""

    name: str
    rules: Sequence[int]
    hook: str | None = None
    policy: str | None = None


@dataclass(frozen=True)
class LegacyTable:
    """A table as read; `places` has its chains by name, in the kernel's order, which is that of iptables-save."""

    snapshot: Snapshot
    context: Context
    places: Mapping[str, ChainPlace]
    starts: Mapping[int, str]
    """Chain names by the byte at which a jump to them leads."""

    @property
    def name(self) -> str:
        """The table's name."""
        return self.snapshot.name

    @property
    def chain_names(self) -> tuple[str, ...]:
        """The names of the chains."""
        return tuple(self.places)

    @property
    def rule_count(self) -> int:
        """The number of rules in all chains, policies not counted."""
        return sum(len(place.rules) for place in self.places.values())

    def rule(self, chain: str, position: int) -> Rule | None:
        """Return a rule by its position from 1; None when the table has none there."""
        place = self.places.get(chain)
        if place is None or not 0 < position <= len(place.rules):
            return None
        text, target = rule_text(self.context, self.snapshot.entries, place.rules[position - 1], self.starts)
        text = f"-A {chain} {text}" if text else f"-A {chain}"
        return Rule(position, text, target, owner=owner_of(chain, text, target))

    def chain(self, name: str) -> Chain | None:
        """Return a chain with all its rules; None when the table has none of that name."""
        place = self.places.get(name)
        if place is None:
            return None
        rules = (self.rule(name, position) for position in range(1, len(place.rules) + 1))
        return Chain(name, tuple(filter(None, rules)), place.hook, None, place.policy)

    def table(self) -> Table:
        """Return the whole table, rendered."""
        chains = tuple(filter(None, map(self.chain, self.places)))
        return Table("iptables-legacy", self.snapshot.family, self.name, chains)


def parse(snapshot: Snapshot) -> LegacyTable:
    """Find the chains of a table; raise CannotTraceError when its bytes are not those of a table.

    A base chain begins where its hook enters the table. Any other begins after an entry whose target is ERROR and
    holds its name. The last entry of a chain is its policy or its return, and an ERROR ends the table
    (translate_table in net/ipv4/netfilter/ip_tables.c checks what it is given; iptables writes it in this form).
    """
    hooks = {at: hook for hook, at in snapshot.hook_entries.items()}
    places: dict[str, ChainPlace] = {}
    starts: dict[int, str] = {}
    for name, start, rules in _chains(snapshot, hooks):
        if name in places or not rules:
            raise _malformed(snapshot, start)
        starts[start] = name
        hook = hooks.get(start)
        places[name] = ChainPlace(name, rules[:-1], hook, _policy(snapshot, rules[-1]) if hook else None)
    if not set(snapshot.hook_entries) <= set(places):
        raise _malformed(snapshot, min(hooks))
    return LegacyTable(snapshot, Context(snapshot.family, snapshot.set_names), places, starts)


def _chains(snapshot: Snapshot, hooks: Mapping[int, str]) -> list[tuple[str, int, list[int]]]:
    """Return name, start and entries of each chain; the last entry is its policy or return."""
    entries, layout = snapshot.entries, LAYOUTS[snapshot.family]
    chains: list[tuple[str, int, list[int]]] = []
    at, size = 0, len(entries)
    while at < size:
        if at + layout.size > size:
            raise _malformed(snapshot, at)
        target_at, end = target_place(layout, entries, at)
        if not at + layout.size <= target_at <= end - EXTENSION.size or end > size:
            raise _malformed(snapshot, at)
        if entries.startswith(ERROR, target_at + NAME_AT):
            name_at = target_at + EXTENSION.size
            if end < size:
                chains.append((string(entries[name_at : name_at + ERROR_NAME_SIZE]), end, []))
        else:
            if at in hooks:
                chains.append((hooks[at], at, []))
            if not chains:
                raise _malformed(snapshot, at)
            chains[-1][2].append(at)
        at = end
    return chains


def _policy(snapshot: Snapshot, at: int) -> str | None:
    """Return the verdict of a base chain's last entry."""
    code = verdict(snapshot.entries, *target_place(LAYOUTS[snapshot.family], snapshot.entries, at))
    return VERDICTS.get(code) if code is not None else None


def _malformed(snapshot: Snapshot, at: int) -> CannotTraceError:
    return CannotTraceError(
        f"the legacy table {snapshot.name} ({snapshot.family}) is not laid out as expected at byte {at}",
        "Report it with the kernel's release (`uname -r`) and what `iptables-legacy-save` prints",
    )
