"""The tables of nf_tables in the calling thread's network namespace: their chains, and whose they are."""

from __future__ import annotations

import msgspec

from tracer.netfilter.nft.kernel import NftChain, chains
from tracer.netfilter.nft.ownership import backend_of, is_built_in
from tracer.netfilter.ruleset import Backend, Family


class NftTable(msgspec.Struct, frozen=True):
    """A table and its chains by name, in the order in which they were made."""

    family: Family
    name: str
    backend: Backend
    chains: dict[str, NftChain]


def nft_tables() -> dict[tuple[Family, str], NftTable]:
    """Return the tables that have chains; raise CannotTraceError when the kernel does not tell them."""
    found: dict[tuple[Family, str], dict[str, NftChain]] = {}
    for chain in chains():
        found.setdefault((chain.family, chain.table), {})[chain.name] = chain
    return {key: _table(*key, among) for key, among in found.items()}


def chain_backend(table: NftTable, chain: str) -> Backend:
    """Return whose a chain is: a base chain that iptables-nft does not know is not its own, wherever it is."""
    base = table.chains[chain].base if chain in table.chains else None
    return "nftables" if base and not is_built_in(table.family, table.name, base) else table.backend


def names_by_backend(table: NftTable) -> dict[Backend, list[str]]:
    """Return the names of a table's chains by whose they are."""
    names: dict[Backend, list[str]] = {}
    for name in table.chains:
        names.setdefault(chain_backend(table, name), []).append(name)
    return names


def _table(family: Family, name: str, among: dict[str, NftChain]) -> NftTable:
    base_chains = [chain.base for chain in among.values() if chain.base]
    return NftTable(family, name, backend_of(family, name, base_chains), among)
