"""Read what runs at each netfilter hook of a namespace, in the order of execution, from the kernel itself."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence

from tracer.capture.bpf_syscall import run_raw_tracepoint_program
from tracer.capture.layout import RawHookFunction
from tracer.capture.programs import Programs
from tracer.document import HookFunction
from tracer.netfilter.hooks import NFPROTO, is_legacy_table, is_nat, is_nft_chain
from tracer.netfilter.nft.ownership import backend_of_base_chain
from tracer.netfilter.ruleset import HOOKS, Backend
from tracer.netns import Netns, run_in

SOURCE = "hooks.c"


def read_hooks(programs: Programs, namespaces: Iterable[Netns]) -> tuple[HookFunction, ...]:
    """Return every function in the IPv4 and IPv6 hooks of each namespace; `programs` contains SOURCE.

    The NAT function's own tables and chains follow it, because it runs them in turn for a connection's first packet
    until one translates (net/netfilter/nf_nat_core.c).
    """
    result: list[HookFunction] = []
    for netns in namespaces:
        functions = run_in(netns, lambda: _read(programs))
        result.extend(ordered(netns.label, functions))
    return tuple(result)


def _read(programs: Programs) -> list[RawHookFunction]:
    functions: list[RawHookFunction] = []
    for ipv6 in (0, 1):
        for hook in range(len(HOOKS)):
            functions += _entries(programs, ipv6, hook, 0)
    nat = [entry for entry in functions if is_nat(entry.function)]
    return functions + [inner for entry in nat for inner in _entries(programs, entry.ipv6, entry.hook, entry.order + 1)]


def _entries(programs: Programs, ipv6: int, hook: int, nat: int) -> Iterator[RawHookFunction]:
    """Yield the functions of one hook, or of its NAT function at order `nat` - 1."""
    program = programs.raw_tracepoint("read_hook")
    for order in itertools.count():
        run_raw_tracepoint_program(program, ipv6, hook, nat, order)
        found = programs.hook_functions()
        if not found:
            return
        yield from found


def ordered(label: str, raw: Sequence[RawHookFunction]) -> Iterator[HookFunction]:
    """Yield what was read of the namespace `label` in the order of execution, with what each function stands for."""

    def place(entry: RawHookFunction) -> tuple[int, int]:
        return entry.ipv6, entry.hook

    nested = [entry for entry in raw if entry.nat]
    for _, here in itertools.groupby((entry for entry in raw if not entry.nat), key=place):
        sequence: list[RawHookFunction] = []
        for entry in here:
            sequence.append(entry)
            if is_nat(entry.function):
                sequence.extend(inner for inner in nested if place(inner) == place(entry))
        for order, entry in enumerate(sequence, 1):
            yield _describe(label, entry, order)


def _describe(label: str, entry: RawHookFunction, order: int) -> HookFunction:
    backend: Backend | None = None
    table = chain = None
    hook = HOOKS[entry.hook]
    if is_legacy_table(entry.function):
        backend, table, chain = "iptables-legacy", entry.xt_table, hook
    elif is_nft_chain(entry.function):
        family = NFPROTO.get(entry.nft_family & 0x3F, "inet")  # a bit field of six
        table, chain = entry.nft_table, entry.nft_chain
        backend = backend_of_base_chain(family, table, chain, entry.priority)
    return HookFunction(
        netns=label,
        family="ipv6" if entry.ipv6 else "ipv4",
        hook=hook,
        order=order,
        priority=entry.priority,
        function=entry.function,
        backend=backend,
        table=table,
        chain=chain,
    )
