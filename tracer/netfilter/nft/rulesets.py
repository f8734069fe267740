"""Read all that nf_tables holds in the calling thread's network namespace, as tables of the one model."""

from __future__ import annotations

import msgspec

from tracer.netfilter.nft.kernel import NftChain
from tracer.netfilter.nft.rules import Rules, chain_rules, table_rules
from tracer.netfilter.nft.tables import NftTable, chain_backend, names_by_backend, nft_tables
from tracer.netfilter.ruleset import Backend, Chain, Family, Rule, Table


class Reading(msgspec.Struct, frozen=True):
    """The tables that were read; `notes` says in sentences which rules are not as their own tool prints them."""

    tables: tuple[Table, ...]
    notes: tuple[str, ...]


def read_chain(family: Family, table: str, chain: str) -> Chain:
    """Return one chain in nft's syntax, whoever made it; without rules when there is none of that name."""
    found = nft_tables().get((family, table))
    if found is None or chain not in found.chains:
        return Chain(chain)
    return _chain(found.chains[chain], chain_rules(family, table, chain, "nftables", []), "nftables")


def read_iptables_nft(family: Family) -> Reading:
    """Return iptables-nft's tables of a family; raise CannotTraceError when the kernel does not tell its rules."""
    return _read([each for each in nft_tables().values() if each.backend == "iptables-nft" and each.family == family])


def read_nftables() -> Reading:
    """Return the native tables of all families; raise CannotTraceError when the kernel does not tell its rules."""
    return _read([each for each in nft_tables().values() if each.backend == "nftables"])


def _read(tables: list[NftTable]) -> Reading:
    notes: list[str] = []
    return Reading(tuple(_table(table, notes) for table in tables), tuple(notes))


def _table(table: NftTable, notes: list[str]) -> Table:
    read: Rules = {}
    for backend, names in names_by_backend(table).items():
        read |= table_rules(table.family, table.name, names, backend, notes)
    chains = tuple(
        _chain(chain, read.get(name, ()), chain_backend(table, name)) for name, chain in table.chains.items()
    )
    return Table(table.backend, table.family, table.name, chains)


def _chain(chain: NftChain, rules: tuple[Rule, ...], backend: Backend) -> Chain:
    """Join a chain with its rules; the policy is in the backend's own letters."""
    base = chain.base
    if base is None:
        return Chain(chain.name, rules)
    policy = base.policy.upper() if backend == "iptables-nft" else base.policy
    return Chain(chain.name, rules, base.hook, base.priority, policy)
