"""Read iptables-legacy tables from the kernel, with no iptables program, and show rules as iptables-save would.

Everything here asks in the calling thread's network namespace (see tracer.netns.run_in). A table that is not listed
is never asked for, because asking creates it.

sockopt    what the kernel is asked         table    the chains of a table, rendered on demand
entry      a rule's text                    extension, catalogue    how matches and targets are laid out
conntrack, headers, ipsec, marks, nat, packets, programs, rates, sets, targets, transport    the extensions
"""

from __future__ import annotations

from tracer.errors import CannotTraceError
from tracer.netfilter.legacy.extension import IpFamily
from tracer.netfilter.legacy.sockopt import fetch, listed_tables
from tracer.netfilter.legacy.table import LegacyTable, parse
from tracer.netfilter.ruleset import Table

__all__ = ["IpFamily", "LegacyTable", "listed_tables", "read_table", "read_tables"]


def read_table(family: IpFamily, name: str) -> LegacyTable:
    """Read one listed table; raise CannotTraceError when it is not listed or cannot be read.

    Its chains are known when this returns; rules are rendered when `chain`, `rule` or `table` asks for them.
    """
    if name not in listed_tables(family):
        raise CannotTraceError(
            f"the legacy table {name} ({family}) does not exist in this network namespace",
            "Nothing of it can have matched; `tracer rules` lists what exists",
        )
    return parse(fetch(family, name))


def read_tables(family: IpFamily) -> tuple[Table, ...]:
    """Read and render all listed tables, in the kernel's order."""
    return tuple(parse(fetch(family, name)).table() for name in listed_tables(family))
