"""Look up the rules that a packet met, reading no more of nf_tables than the chains that it went through."""

from __future__ import annotations

from collections.abc import Container
from functools import partial

from tracer.netfilter.evidence.table import OUR_TABLE
from tracer.netfilter.nft.ownership import backend_of
from tracer.netfilter.nft.rules import chain_rules, table_rules
from tracer.netfilter.nft.tables import NftTable, chain_backend, names_by_backend, nft_tables
from tracer.netfilter.ruleset import Backend, Family, Rule
from tracer.netns import Netns, run_in

_SMALL = 500
"""How many rules (and jumps) the namespace may have for its tables to be read whole.

With 500, a table takes 10 ms and a chain by itself 4 ms; with 50,000, a table 0.7 to 3 s and a chain still 4 ms.
"""


class NftTexts:
    """The rules of one namespace's nf_tables chains; `notes` says which are not as their own tool prints them.

    A chain is read when a rule of it is first asked for, and again for a handle that it did not have then.
    """

    def __init__(self, netns: Netns) -> None:
        """Read nothing yet."""
        self.notes: list[str] = []
        self._netns = netns
        self._is_small = True
        self._tables: dict[tuple[Family, str], NftTable] = {}
        self._rules: dict[tuple[Family, str, str], dict[int | None, Rule | None]] = {}

    def look_up(self, family: Family, table: str, chain: str, handle: int | None) -> tuple[Backend, Rule | None]:
        """Return whose the chain is, and the rule with this handle, None where there is no such rule any more.

        Raise CannotTraceError when the kernel does not tell its rules, or when the namespace is gone.
        """
        found = self._table(family, table, chain)
        backend = chain_backend(found, chain)
        if handle is None:
            return backend, None
        if handle not in self._rules.get((family, table, chain), {}):
            run_in(self._netns, lambda: self._read(found, chain, backend))
        return backend, self._rules[family, table, chain].setdefault(handle, None)

    def read_ahead(self, families: Container[Family]) -> None:
        """Read the tables of some families now, if they are small enough to be read whole: later somebody waits."""
        self._tables = run_in(self._netns, nft_tables)
        self._measure()
        for table in self._tables.values() if self._is_small else ():
            if table.family in families and not OUR_TABLE.fullmatch(table.name):
                for backend, names in names_by_backend(table).items():
                    run_in(self._netns, partial(self._read, table, names[0], backend))

    def hook_of(self, family: Family, table: str, chain: str) -> str:
        """Return the hook of a base chain; empty for any other chain."""
        found = self._table(family, table, chain).chains.get(chain)
        return found.base.hook if found and found.base else ""

    def _table(self, family: Family, name: str, chain: str) -> NftTable:
        if (family, name) not in self._tables or chain not in self._tables[family, name].chains:
            self._tables = run_in(self._netns, nft_tables)
            self._measure()
        return self._tables.get((family, name)) or NftTable(family, name, backend_of(family, name, ()), {})

    def _measure(self) -> None:
        uses = (each.use for table in self._tables.values() for each in table.chains.values())
        self._is_small = sum(uses) <= _SMALL

    def _read(self, table: NftTable, chain: str, backend: Backend) -> None:
        self._rules[table.family, table.name, chain] = {}
        if self._is_small:
            names = names_by_backend(table).get(backend, [])
            read = table_rules(table.family, table.name, names, backend, self.notes)
        else:
            read = {chain: chain_rules(table.family, table.name, chain, backend, self.notes)}
        for name, rules in read.items():
            self._rules[table.family, table.name, name] = {rule.handle: rule for rule in rules}
