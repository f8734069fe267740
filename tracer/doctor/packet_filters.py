"""Trials of the packet filters: that they say which rules a packet matched.

What is asked of this namespace is only read; what has to be tried is tried in the bench's. Trials import what needs
pyroute2 themselves: it may be what is lacking.
"""

from __future__ import annotations

import functools
import os
import shutil

from tracer import sysctl
from tracer.changes import not_set
from tracer.doctor.bench import Bench
from tracer.errors import CannotTraceError
from tracer.journal import RUN_FOLDER, SUFFIX, remove_folder, write_journal
from tracer.netfilter.legacy.sockopt import listed_tables
from tracer.netns import run_in

_PROGRAMS = ("iptables-legacy", "xtables-legacy-multi")


def has_legacy_tables() -> bool:
    """Tell whether iptables-legacy is known to have tables in the calling thread's namespace."""
    try:
        return bool(listed_tables("ip") or listed_tables("ip6"))
    except CannotTraceError:  # only root may look, and that root is lacking is told
        return False


def nft_trace(bench: Bench) -> str:
    """Mark packets in a table with an owner, and join the group on which nf_tables says what they match."""
    from tracer.netfilter.evidence.nft_trace import open_nft_trace

    open_nft_trace(bench.netns, bench.mark).close()
    return "takes a table that is ours alone, and tells of traces"


def nflog(bench: Bench) -> str:
    """Bind the group on which legacy traces arrive; look who has it here."""
    from tracer.netfilter.evidence.legacy_trace import open_legacy_trace
    from tracer.netfilter.evidence.nf_log import TRACE_GROUP, group_holder

    open_legacy_trace(bench.netns, bench.mark).close()
    holder = group_holder()
    if holder:
        raise CannotTraceError(
            f"{holder} holds NFLOG group {TRACE_GROUP} in this network namespace",
            "Stop it while you trace: legacy traces arrive on that group alone",
        )
    return f"group {TRACE_GROUP} is free here, and can be bound"


def logger(bench: Bench) -> str:
    """Set the logger in the bench as a trace does."""
    from tracer.netfilter.evidence.nf_log import TRACE_LOGGER, current_logger
    from tracer.rule_evidence import NF_LOG

    for name in NF_LOG.values():
        try:
            run_in(bench.netns, functools.partial(sysctl.write, name, TRACE_LOGGER))
        except OSError as error:
            raise not_set(bench.netns, name, TRACE_LOGGER, error) from error
    here = ", ".join(f"{current_logger(family)} for IPv{family}" for family in (4, 6))
    return f"can be set to {TRACE_LOGGER} for the time of a trace; here it is {here}"


def journal(_bench: Bench) -> str:
    """Write down that nothing is set, and take it away again."""
    path = RUN_FOLDER / f"{os.getpid()}-doctor{SUFFIX}"
    os.close(write_journal(path, ()))
    path.unlink(missing_ok=True)  # another run takes it for that of a dead one
    remove_folder(RUN_FOLDER)
    return f"what is set can be written down in {RUN_FOLDER} before"


def legacy_tables(_bench: Bench) -> str:
    """Look which legacy tables there are: without the program, nothing else shows them."""
    tables = {"IPv4": listed_tables("ip"), "IPv6": listed_tables("ip6")}
    found = "; ".join(f"{family}: {', '.join(names)}" for family, names in tables.items() if names)
    return f"in this network namespace, {found}" if found else "none in this network namespace"


def legacy_program(_bench: Bench) -> str:
    """Look for the program that shows legacy rules, which we do without."""
    program = next(filter(None, map(shutil.which, _PROGRAMS)), None)
    if program:
        return f"{program}, which a trace does not need: it reads legacy rules from the kernel"
    if has_legacy_tables():
        return "not there, and not needed to trace; but nothing else on this node shows the legacy rules that it has"
    return "not there, and not needed to trace: legacy rules are read from the kernel"
