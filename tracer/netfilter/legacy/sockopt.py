"""Ask the kernel for legacy tables and ipset names (getsockopt(2)), in the calling thread's network namespace.

The requests are those of include/uapi/linux/netfilter_ipv4/ip_tables.h, netfilter_ipv6/ip6_tables.h and
netfilter/ipset/ip_set.h. Each takes its argument and gives its answer in the same buffer, which
socket.getsockopt does not allow.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import socket
import struct
import sys
from pathlib import Path

import msgspec

from tracer.errors import CannotTraceError
from tracer.netfilter.legacy.extension import IpFamily
from tracer.netfilter.legacy.text import string
from tracer.netfilter.ruleset import HOOKS

NAMES = "/proc/thread-self/net/{family}_tables_names"
GET_INFO, GET_ENTRIES = 64, 65  # IPT_SO_GET_INFO and IP6T_SO_GET_INFO, …_GET_ENTRIES
LEVELS = {"ip": socket.SOL_IP, "ip6": socket.IPPROTO_IPV6}
FAMILIES = {"ip": socket.AF_INET, "ip6": socket.AF_INET6}
GETINFO = struct.Struct("@32sI5I5III")  # name, valid_hooks, hook_entry, underflow, num_entries, size
GET_ENTRIES_HEADER = struct.Struct("@32sI0Q")  # name, size; the entries hold a u64 and are aligned to it
ATTEMPTS = 100

SO_IP_SET = 83
IP_SET_OP_GET_BYINDEX = 7
IPSET_PROTOCOL_MIN = 6
GET_SET = struct.Struct("@II32s")  # struct ip_set_req_get_set: op, version, index or name
NO_SET = 0xFFFF
# What may be the name of a match `set` or a target `SET`; what only looks like one costs a question and does no harm.
# Two patterns, because a plain string is found ten times as fast as an alternative of two.
SET_EXTENSIONS = (re.compile(rb"set\0"), re.compile(rb"SET\0"))
SET_NAME_AND_REVISION = 30
SET_INDEXES = struct.Struct("@H2xH2xH22xH")  # where one revision or another has the indexes of its sets (sets.py)

_libc = ctypes.CDLL(None, use_errno=True)


class Snapshot(msgspec.Struct, frozen=True):
    """One table as the kernel gave it: entries, where each hook enters them, names of its ipsets."""

    family: IpFamily
    name: str
    hook_entries: dict[str, int]
    entries: bytes
    set_names: dict[int, str] = {}


def listed_tables(family: IpFamily) -> tuple[str, ...]:
    """Return the names of the legacy tables that exist in this namespace (ip_tables_names in proc(5))."""
    path = Path(NAMES.format(family=family))
    try:
        return tuple(path.read_text().split())
    except FileNotFoundError:
        return ()
    except PermissionError as error:
        raise CannotTraceError(f"not allowed to read {path}", "Run as root") from error


def fetch(family: IpFamily, name: str) -> Snapshot:
    """Read the table `name`, which must be listed: the kernel creates a table that it is asked for.

    Raise CannotTraceError when the kernel refuses, or when the table changes faster than it can be read.
    """
    with _raw_socket(family) as asking:
        for _ in range(ATTEMPTS):
            info = _info(asking, family, name)
            entries = _entries(asking, family, name, info[-1])
            # The kernel compares the size only: a table of the same size may have come in between.
            if entries is not None and info == _info(asking, family, name):
                break
        else:
            raise CannotTraceError(
                f"the legacy table {name} ({family}) changed each of the {ATTEMPTS} times that it was read",
                "Find what keeps on writing it (`tracer audit` says who owns its rules), and trace again",
            )
    valid_hooks, hook_entries = info[1], info[2:7]
    hooks = {hook: hook_entries[number] for number, hook in enumerate(HOOKS) if valid_hooks & 1 << number}
    return Snapshot(family, name, hooks, entries, _set_names(entries))


def _raw_socket(family: IpFamily) -> socket.socket:
    try:
        return socket.socket(FAMILIES[family], socket.SOCK_RAW, socket.IPPROTO_RAW)
    except OSError as error:
        raise _refused(f"open a raw socket ({family}) for legacy tables", error.errno or 0) from error


def _refused(what: str, code: int) -> CannotTraceError:
    forbidden = code in (errno.EPERM, errno.EACCES)
    return CannotTraceError(
        f"cannot {what}: {os.strerror(code)}",
        "Run as root (CAP_NET_RAW and CAP_NET_ADMIN)" if forbidden else "Try again; the table may just have gone",
    )


def _getsockopt(asking: socket.socket, level: int, option: int, buffer: ctypes.Array[ctypes.c_char]) -> int:
    """Let the kernel rewrite `buffer`; return 0 or the errno."""
    length = ctypes.c_uint32(len(buffer))
    if _libc.getsockopt(asking.fileno(), level, option, buffer, ctypes.byref(length)) == 0:
        return 0
    return ctypes.get_errno()


def _info(asking: socket.socket, family: IpFamily, name: str) -> tuple[int, ...]:
    buffer = ctypes.create_string_buffer(name.encode(), GETINFO.size)
    if code := _getsockopt(asking, LEVELS[family], GET_INFO, buffer):
        raise _refused(f"ask the kernel about the legacy table {name} ({family})", code)
    return GETINFO.unpack(buffer)


def _entries(asking: socket.socket, family: IpFamily, name: str, size: int) -> bytes | None:
    """Return the table's entries, None when it no longer has that size."""
    start = GET_ENTRIES_HEADER.size
    buffer = ctypes.create_string_buffer(start + size)
    GET_ENTRIES_HEADER.pack_into(buffer, 0, name.encode(), size)
    code = _getsockopt(asking, LEVELS[family], GET_ENTRIES, buffer)
    if code == errno.EAGAIN:
        return None
    if code:
        raise _refused(f"read the legacy table {name} ({family})", code)
    return ctypes.string_at(ctypes.addressof(buffer) + start, size)


def _set_names(entries: bytes) -> dict[int, str]:
    """Return the names of the ipsets that the entries may refer to, by index."""
    last = len(entries) - SET_NAME_AND_REVISION - SET_INDEXES.size
    places = (found.start() for pattern in SET_EXTENSIONS for found in pattern.finditer(entries))
    indexes = {
        index
        for place in places
        if place <= last
        for index in SET_INDEXES.unpack_from(entries, place + SET_NAME_AND_REVISION)
        if index != NO_SET
    }
    if not indexes:
        return {}
    with _raw_socket("ip") as asking:
        names = {index: _set_name(asking, index) for index in sorted(indexes)}
    return {index: name for index, name in names.items() if name}


def _set_name(asking: socket.socket, index: int) -> str:
    """Return the name of the ipset with that index, empty when there is none."""
    buffer = ctypes.create_string_buffer(
        GET_SET.pack(IP_SET_OP_GET_BYINDEX, IPSET_PROTOCOL_MIN, index.to_bytes(2, sys.byteorder)), GET_SET.size
    )
    if _getsockopt(asking, socket.SOL_IP, SO_IP_SET, buffer):
        return ""
    _op, _version, name = GET_SET.unpack(buffer)
    return string(name)
