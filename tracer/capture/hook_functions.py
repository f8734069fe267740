"""Read what runs at each netfilter hook of a namespace, in the order of execution, from the kernel itself."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

from tracer.capture.bpf_syscall import run_raw_tracepoint_program
from tracer.capture.compiler import load_program
from tracer.capture.layout import HOOK_FUNCTION, RawHookFunction, read_hook_function
from tracer.document import HookFunction
from tracer.netfilter.hooks import NFPROTO, is_legacy_table, is_nat, is_nft_chain, nft_backend
from tracer.netfilter.ruleset import HOOKS, Backend
from tracer.netns import Netns, run_in

SOURCE = "hooks.c"


def read_hooks(module: Any, namespaces: Iterable[Netns]) -> tuple[HookFunction, ...]:  # noqa: ANN401  (bcc has no types)
    """Return every function in the IPv4 and IPv6 hooks of each namespace.

    `module` is a compiled module that contains SOURCE; it serves one call. The NAT function's own tables and chains
    follow it, because it runs them in turn for a connection's first packet until one translates
    (net/netfilter/nf_nat_core.c).
    """
    program = load_program(module, "read_hook", module.RAW_TRACEPOINT)
    raw: list[RawHookFunction] = []

    def collect(_context: object, data: int, _size: int) -> None:
        raw.append(read_hook_function(ctypes.string_at(data, HOOK_FUNCTION.size)))

    module["hook_functions"].open_ring_buffer(collect)
    result: list[HookFunction] = []
    for netns in namespaces:
        raw.clear()
        run_in(netns, lambda: _run_over_hooks(program))
        module.ring_buffer_consume()
        nat = [entry for entry in raw if is_nat(symbol(module, entry.function))]
        run_in(netns, lambda nat=nat: _run_over_nat(program, nat))  # type: ignore[misc]
        module.ring_buffer_consume()
        result.extend(_ordered(module, netns.label, raw))
    return tuple(result)


def _run_over_hooks(program: int) -> None:
    for ipv6 in (0, 1):
        for hook in range(len(HOOKS)):
            run_raw_tracepoint_program(program, ipv6, hook, 0)


def _run_over_nat(program: int, functions: list[RawHookFunction]) -> None:
    for function in functions:
        run_raw_tracepoint_program(program, function.ipv6, function.hook, function.order + 1)


def symbol(module: Any, address: int) -> str:  # noqa: ANN401
    """Return the kernel function at an address, without its offset; `0x…` where kallsyms does not tell."""
    name: bytes = module.ksym(address)
    return hex(address) if name == b"[unknown]" else name.decode()


def _ordered(module: Any, label: str, raw: list[RawHookFunction]) -> Iterator[HookFunction]:  # noqa: ANN401
    def place(entry: RawHookFunction) -> tuple[int, int]:
        return entry.ipv6, entry.hook

    nested = [entry for entry in raw if entry.nat]
    for _, here in groupby((entry for entry in raw if not entry.nat), key=place):
        sequence: list[RawHookFunction] = []
        for entry in here:
            sequence.append(entry)
            if is_nat(symbol(module, entry.function)):
                sequence.extend(inner for inner in nested if place(inner) == place(entry))
        for order, entry in enumerate(sequence, 1):
            yield _describe(label, entry, order, symbol(module, entry.function))


def _describe(label: str, entry: RawHookFunction, order: int, function: str) -> HookFunction:
    backend: Backend | None = None
    table = chain = None
    hook = HOOKS[entry.hook]
    if is_legacy_table(function):
        backend, table, chain = "iptables-legacy", entry.xt_table, hook
    elif is_nft_chain(function):
        family = NFPROTO.get(entry.nft_family & 0x3F, "inet")  # a bit field of six
        backend, table, chain = (
            nft_backend(family, entry.nft_table, entry.nft_chain),
            entry.nft_table,
            entry.nft_chain,
        )
    return HookFunction(
        netns=label,
        family="ipv6" if entry.ipv6 else "ipv4",
        hook=hook,
        order=order,
        priority=entry.priority,
        function=function,
        backend=backend,
        table=table,
        chain=chain,
    )
