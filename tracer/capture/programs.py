"""The compiled BPF programs and their buffers, as one thing that serves any number of traces in turn."""

from __future__ import annotations

import ctypes
from typing import Any

from tracer.capture import layout
from tracer.capture.bpf_syscall import (
    ATTACH_NETFILTER,
    ATTACH_TCX_EGRESS,
    ATTACH_TCX_INGRESS,
    PROGRAM_NETFILTER,
    freeze_map,
)
from tracer.capture.compiler import compile_programs, load_program

_SOURCES = ("veth.c", "netfilter.c", "drops.c", "hooks.c")


class Programs:
    """A BCC module with our programs in it; a program is loaded when it is first asked for."""

    def __init__(self, *sources: str) -> None:
        """Compile the sources (all that a trace needs, if none is named). Raises CannotTraceError."""
        self._module: Any = compile_programs(*(sources or _SOURCES))
        self._events: list[layout.RawEvent] = []
        self._hook_functions: list[layout.RawHookFunction] = []
        self._opened: set[bytes] = set()
        self._write_formats()

    def raw_tracepoint(self, name: str) -> int:
        """Return the descriptor of a raw-tracepoint program."""
        return load_program(self._module, name, self._module.RAW_TRACEPOINT)

    def netfilter(self, name: str) -> int:
        """Return the descriptor of a netfilter program."""
        return load_program(self._module, name, PROGRAM_NETFILTER, ATTACH_NETFILTER)

    def tcx(self, name: str, attach_type: int) -> int:
        """Return the descriptor of a device program for ATTACH_TCX_INGRESS or ATTACH_TCX_EGRESS."""
        return load_program(self._module, name, self._module.SCHED_CLS, attach_type)

    def load_all(self) -> None:
        """Load every program that a trace attaches, so that attaching them takes no time."""
        self.raw_tracepoint("read_hook")
        self.raw_tracepoint("freed")
        self.netfilter("netfilter_entry")
        self.netfilter("netfilter_passage")
        self.tcx("device_ingress", ATTACH_TCX_INGRESS)
        self.tcx("device_egress", ATTACH_TCX_EGRESS)

    def set_probe(self, data: bytes) -> None:
        """Write struct probe, and forget the events of an earlier one."""
        table = self._module[b"probes"]
        table[ctypes.c_int(0)] = table.Leaf.from_buffer_copy(data)
        self.events()

    def events_descriptor(self) -> int:
        """Return the descriptor that polls readable when there are events."""
        return int(self._module[b"events"].map_fd)

    def events(self) -> list[layout.RawEvent]:
        """Return the events since the last call."""
        self._open(b"events", self._collect_event)
        self._module.ring_buffer_consume()
        events, self._events = self._events, []
        return events

    def hook_functions(self) -> list[layout.RawHookFunction]:
        """Return what `read_hook` has written since the last call."""
        self._open(b"hook_functions", self._collect_hook_function)
        self._module.ring_buffer_consume()
        functions, self._hook_functions = self._hook_functions, []
        return functions

    def lost(self) -> int:
        """Return how many events found the ring buffer full, since the programs were compiled."""
        return int(self._module[b"lost"][ctypes.c_int(0)].value)

    def _write_formats(self) -> None:
        """Put the format into the map for bpf/symbol.h and freeze it: the verifier reads it when a program loads."""
        table = self._module[b"formats"]
        table[ctypes.c_int(0)] = table.Leaf.from_buffer_copy(b"%pS".ljust(ctypes.sizeof(table.Leaf), b"\0"))
        freeze_map(table.map_fd)

    def _open(self, table: bytes, callback: Any) -> None:  # noqa: ANN401
        if table not in self._opened:
            self._opened.add(table)
            self._module[table].open_ring_buffer(callback)

    def _collect_event(self, _context: object, data: int, _size: int) -> None:
        self._events.append(layout.read_event(ctypes.string_at(data, layout.EVENT.size)))

    def _collect_hook_function(self, _context: object, data: int, _size: int) -> None:
        self._hook_functions.append(layout.read_hook_function(ctypes.string_at(data, layout.HOOK_FUNCTION.size)))
