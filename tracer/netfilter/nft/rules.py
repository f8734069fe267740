"""Read the rules of nf_tables chains in the calling thread's network namespace, each with its handle.

The text of a rule comes from a program, its handle from the kernel; they meet by the rule's position in its chain.
The generation of nf_tables, the same before and after, says that nothing was changed between the two.

`notes` get a sentence for what could not be read as its own tool would print it. The rules are there all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tracer.errors import CannotTraceError
from tracer.netfilter.nft import listing, save
from tracer.netfilter.nft.kernel import RuleEntry, generation, rule_entries
from tracer.netfilter.owners import owner_of
from tracer.netfilter.ruleset import Backend, Family, Rule

_TRIES = 5

Rules = dict[str, tuple[Rule, ...]]
"""The rules of each chain that has any."""
_Entries = Mapping[str, Sequence[RuleEntry]]
_Printed = Mapping[str, Sequence[tuple[int | None, str]]]
"""The texts of the rules by chain, with the handle where the program prints it."""


@dataclass(frozen=True)
class _Syntax:
    """How a tool's text names a target, and which rules it must not be asked for."""

    target_of: Callable[[str], str]
    check: Callable[[_Entries], None]


def table_rules(family: Family, table: str, names: Sequence[str], backend: Backend, notes: list[str]) -> Rules:
    """Return the rules of the chains called `names` in a table, read at once where its own tool can do that."""
    try:
        if _saved(family, backend):
            return _read(family, table, names, _SAVE, lambda: _save_table(family, table))
        return _read(family, table, names, _NFT, lambda: listing.list_table(family, table))
    except CannotTraceError:
        # One rule that iptables-nft does not know makes it refuse the table: of each chain it is asked alone.
        return {name: chain_rules(family, table, name, backend, notes) for name in names}


def chain_rules(family: Family, table: str, chain: str, backend: Backend, notes: list[str]) -> tuple[Rule, ...]:
    """Return the rules of one chain.

    Where iptables-nft fails, the text is nft's; where nft fails, it names the handle and says why.
    """
    if _saved(family, backend):
        try:
            return _by_iptables(family, table, chain)
        except CannotTraceError as error:
            _note(notes, f"Rules of table {family} {table} are not as iptables-nft would save them: {error.cause}")
    try:
        return _by_nft(family, table, chain)
    except CannotTraceError as error:
        _note(notes, f"Rules of table {family} {table} are shown without their text: {error.cause}")
        return _by_handle(family, table, chain, error.cause)


def _saved(family: Family, backend: Backend) -> bool:
    return backend == "iptables-nft" and family in save.FAMILIES


def _by_iptables(family: Family, table: str, chain: str) -> tuple[Rule, ...]:
    def printed() -> _Printed:
        return {chain: [(None, text) for text in save.chain_rules(family, table, chain)]}

    return _read(family, table, [chain], _SAVE, printed).get(chain, ())


def _by_nft(family: Family, table: str, chain: str) -> tuple[Rule, ...]:
    def printed() -> _Printed:
        return {chain: listing.list_chain(family, table, chain)}

    return _read(family, table, [chain], _NFT, printed).get(chain, ())


def _by_handle(family: Family, table: str, chain: str, why: str) -> tuple[Rule, ...]:
    entries = rule_entries(family, table, [chain]).get(chain, [])
    return tuple(
        Rule(position, f"handle {entry.handle} ({why})", handle=entry.handle, owner=owner_of(chain, table=table))
        for position, entry in enumerate(entries, 1)
    )


def _save_table(family: Family, table: str) -> _Printed:
    saved = save.save_tables(family, table)
    if table not in saved.tables:
        raise CannotTraceError(f"iptables-nft-save leaves out table {family} {table}: {saved.refused}")
    chains = saved.tables[table].items()
    return {name: [(None, text) for text in chain.rules] for name, chain in chains}


def _read(family: Family, table: str, names: Sequence[str], syntax: _Syntax, printed: Callable[[], _Printed]) -> Rules:
    """Return what a program printed, when it agrees with the kernel; raise CannotTraceError when it does not."""
    # The program runs while the kernel is asked. A new thread is in the namespace of the one that starts it.
    with ThreadPoolExecutor(1) as beside:
        for _ in range(_TRIES):
            before = generation()
            printing = beside.submit(printed)
            entries = rule_entries(family, table, names)
            syntax.check(entries)
            texts = printing.result() if entries else {}
            if generation() == before:
                return {
                    chain: _rules(table, chain, found, texts.get(chain, ()), syntax.target_of)
                    for chain, found in entries.items()
                }
    raise CannotTraceError(f"table {family} {table} changes faster than it can be read", "Trace again")


def _rules(
    table: str,
    chain: str,
    entries: Sequence[RuleEntry],
    printed: Sequence[tuple[int | None, str]],
    target_of: Callable[[str], str],
) -> tuple[Rule, ...]:
    handles = [entry.handle for entry in entries]
    if [handle for handle, _ in printed] not in (handles, [None] * len(handles)):
        raise CannotTraceError(f"the rules of chain {chain} cannot be told apart in what is printed")
    rules = []
    for position, (handle, (_, text)) in enumerate(zip(handles, printed, strict=True), 1):
        target = target_of(text)
        rules.append(Rule(position, text, target, handle, owner_of(chain, text, target, table)))
    return tuple(rules)


def _check_own(entries: _Entries) -> None:
    """Raise CannotTraceError where iptables-nft would misread a rule that is not its own."""
    for chain, found in entries.items():
        foreign = [entry.handle for entry in found if not entry.by_iptables]
        if foreign:
            raise CannotTraceError(f"chain {chain} has a rule that iptables did not write, handle {foreign[0]}")


def _note(notes: list[str], note: str) -> None:
    if note not in notes:
        notes.append(note)


_SAVE = _Syntax(save.target_of, _check_own)
_NFT = _Syntax(listing.target_of, lambda _: None)
