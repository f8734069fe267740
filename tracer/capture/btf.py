"""Layouts of kernel types, from the running kernel's BTF.

Reads through libbpf (libbpf.so.1 comes with BCC), which needs some milliseconds where a JSON dump needs half a
second. The raw format is Documentation/bpf/btf.rst in the kernel's tree.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from functools import cache

from tracer.errors import CannotTraceError

_KIND_STRUCT, _KIND_UNION, _KIND_ENUM = 4, 5, 6
_TRANSPARENT = (8, 9, 10, 11, 18)  # typedef, volatile, const, restrict, type tag
_WAY_OUT = "tracer needs a kernel with CONFIG_DEBUG_INFO_BTF (every distribution kernel since 2021 has it)"


class _Type(ctypes.Structure):
    _fields_ = (("name", ctypes.c_uint32), ("info", ctypes.c_uint32), ("size_or_type", ctypes.c_uint32))


class _Member(ctypes.Structure):
    _fields_ = (("name", ctypes.c_uint32), ("type", ctypes.c_uint32), ("offset", ctypes.c_uint32))


class _Enumerator(ctypes.Structure):
    _fields_ = (("name", ctypes.c_uint32), ("value", ctypes.c_int32))


def _kind(described: _Type) -> int:
    return int(described.info >> 24) & 0x1F


@cache
def _library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL("libbpf.so.1")
    except OSError as error:
        raise CannotTraceError("libbpf.so.1 is missing", "Install python3-bpfcc, which brings it") from error
    library.libbpf_set_print(None)  # what it would write to standard error, our errors say
    library.btf__load_vmlinux_btf.restype = ctypes.c_void_p
    library.btf__find_by_name_kind.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_uint32)
    library.btf__type_by_id.argtypes = (ctypes.c_void_p, ctypes.c_uint32)
    library.btf__type_by_id.restype = ctypes.c_void_p
    library.btf__name_by_offset.argtypes = (ctypes.c_void_p, ctypes.c_uint32)
    library.btf__name_by_offset.restype = ctypes.c_char_p
    return library


@cache
def _vmlinux() -> int:
    address = _library().btf__load_vmlinux_btf()
    if not address:
        raise CannotTraceError("the kernel offers no BTF (/sys/kernel/btf/vmlinux cannot be read)", _WAY_OUT)
    return int(address)


def _type_at(number: int) -> tuple[int, _Type]:
    address = _library().btf__type_by_id(_vmlinux(), number)
    return address, _Type.from_address(address)


def _find(name: str, kind: int) -> tuple[int, _Type]:
    number = _library().btf__find_by_name_kind(_vmlinux(), name.encode(), kind)
    if number < 0:
        raise CannotTraceError(f"the kernel's BTF does not describe {name}", _WAY_OUT)
    return _type_at(number)


def _members(address: int, described: _Type) -> Iterator[tuple[str, int, int]]:
    """Yield (name, type number, offset in bits) of a struct's or union's members."""
    bitfields = described.info >> 31
    base = address + ctypes.sizeof(_Type)
    for index in range(described.info & 0xFFFF):
        member = _Member.from_address(base + index * ctypes.sizeof(_Member))
        bits = member.offset & 0xFFFFFF if bitfields else member.offset
        yield _library().btf__name_by_offset(_vmlinux(), member.name).decode(), member.type, bits


def _member(address: int, described: _Type, name: str) -> tuple[int, int] | None:
    """Return (type number, offset in bits) of a member, also inside anonymous structs and unions."""
    for member_name, number, bits in _members(address, described):
        if member_name == name:
            return number, bits
        if not member_name:
            inner_address, inner = _type_at(number)
            found = _member(inner_address, inner, name) if _kind(inner) in (_KIND_STRUCT, _KIND_UNION) else None
            if found:
                return found[0], bits + found[1]
    return None


def offset(struct: str, path: str) -> int:
    """Return the offset in bytes of `path` (`nf.hooks_ipv4`) in a struct; raise CannotTraceError if it is not there."""
    address, described = _find(struct, _KIND_STRUCT)
    total = 0
    for name in path.split("."):
        found = _member(address, described, name)
        if found is None:
            raise CannotTraceError(f"the kernel's struct {struct} has no member {path}", _WAY_OUT)
        number, bits = found
        total += bits
        address, described = _type_at(number)
        while _kind(described) in _TRANSPARENT:
            address, described = _type_at(described.size_or_type)
    return total // 8


def enumerators(enum: str) -> dict[int, str]:
    """Return an enum's names by value; empty where the kernel has no such enum."""
    if _library().btf__find_by_name_kind(_vmlinux(), enum.encode(), _KIND_ENUM) < 0:
        return {}
    address, described = _find(enum, _KIND_ENUM)
    base = address + ctypes.sizeof(_Type)
    entries = (
        _Enumerator.from_address(base + index * ctypes.sizeof(_Enumerator)) for index in range(described.info & 0xFFFF)
    )
    return {entry.value: _library().btf__name_by_offset(_vmlinux(), entry.name).decode() for entry in entries}
