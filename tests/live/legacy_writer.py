"""Put one entry of our own making into a legacy table, as IPT_SO_SET_REPLACE lets its caller do."""

from __future__ import annotations

import ctypes
import os
import socket
import struct

from tracer.netfilter.legacy.entry import EXTENSION, LAYOUTS, OFFSETS
from tracer.netfilter.legacy.sockopt import FAMILIES, LEVELS, Snapshot
from tracer.netfilter.ruleset import HOOKS

SET_REPLACE = 64
# struct ipt_replace: name, valid_hooks, num_entries, size, hook_entry, underflow, num_counters, counters
REPLACE = struct.Struct("@32sIII5I5IIP")
COUNTER_SIZE = 16
ACCEPT = EXTENSION.pack(EXTENSION.size + 8, b"", 0) + struct.pack("@ixxxx", -2)

_libc = ctypes.CDLL(None, use_errno=True)


def extension(name: str, revision: int, payload: bytes) -> bytes:
    """Return a match or target with its header."""
    return EXTENSION.pack(EXTENSION.size + len(payload), name.encode(), revision) + payload


def entry(family: str, protocol: int, matches: bytes, target: bytes) -> bytes:
    """Return an entry for any packet of a protocol."""
    layout = LAYOUTS[family]
    anywhere = bytes(layout.header.size - struct.calcsize("@HBB" if family == "ip" else "@HxBB"))
    addresses = struct.unpack(layout.header.format, anywhere.ljust(layout.header.size, b"\0"))[:8]
    header = layout.header.pack(*addresses, protocol, 1 if family == "ip6" and protocol else 0, 0)
    whole = bytearray(header.ljust(layout.size, b"\0") + matches + target)
    OFFSETS.pack_into(whole, layout.offsets_at, layout.size + len(matches), len(whole))
    return bytes(whole)


def replace(table: Snapshot, hook: str, first: bytes) -> None:
    """Write a table that held nothing but its policies, with an entry before the policy of `hook`."""
    at = table.hook_entries[hook]
    entries = table.entries[:at] + first + table.entries[at:]
    starts = {name: start + (len(first) if start > at else 0) for name, start in table.hook_entries.items()}
    policies = {name: start + (len(first) if name == hook else 0) for name, start in starts.items()}
    old = len(starts) + 1  # a policy for each hook, and the end
    counters = ctypes.create_string_buffer(old * COUNTER_SIZE)
    request = REPLACE.pack(
        table.name.encode(),
        sum(1 << HOOKS.index(name) for name in starts),
        old + 1,
        len(entries),
        *(starts.get(name, 0) for name in HOOKS),
        *(policies.get(name, 0) for name in HOOKS),
        old,
        ctypes.addressof(counters),
    )
    with socket.socket(FAMILIES[table.family], socket.SOCK_RAW, socket.IPPROTO_RAW) as asking:
        whole = request + entries
        if _libc.setsockopt(asking.fileno(), LEVELS[table.family], SET_REPLACE, whole, len(whole)):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), f"{table.name} {hook}")
