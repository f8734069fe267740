"""Matches that are small programs over the packet's bytes: u32 and bpf."""

from __future__ import annotations

import struct

from tracer.netfilter.legacy.extension import Context, Extension
from tracer.netfilter.legacy.text import negation, string

# linux/netfilter/xt_u32.h: locations (number, operator), values (low, high), how many of each.
U32_OPERATORS = {0: "&", 1: "<<", 2: ">>", 3: "@"}
U32_SLOTS = 11
U32_TEST = struct.Struct("@" + "IB3x" * U32_SLOTS + "II" * U32_SLOTS + "BB2x")

BPF_INSTRUCTIONS = 64
BPF_INSTRUCTION = struct.Struct("@HBBI")  # struct sock_filter of linux/filter.h
BPF_BYTECODE, BPF_PINNED = 0, 1


def u32(_: Context, tests: bytes, count: int, invert: int) -> str | None:
    """Render `-m u32`."""
    if count > U32_SLOTS:
        return None
    rendered = [_u32_test(*members) for members in U32_TEST.iter_unpack(tests[: count * U32_TEST.size])]
    known = [test for test in rendered if test is not None]
    return f'{negation(invert)}--u32 "{"&&".join(known)}"' if known == rendered else None


def _u32_test(*members: int) -> str | None:
    locations, values = members[: 2 * U32_SLOTS], members[2 * U32_SLOTS : 4 * U32_SLOTS]
    location_count, value_count = members[4 * U32_SLOTS :]
    operators = locations[1::2][1:location_count]  # the first location has none
    if location_count > U32_SLOTS or value_count > U32_SLOTS or not set(operators) <= set(U32_OPERATORS):
        return None
    where = f"{locations[0]:#x}" + "".join(
        f"{U32_OPERATORS[operator]}{number:#x}" for operator, number in zip(operators, locations[2::2], strict=False)
    )
    pairs = list(zip(values[::2], values[1::2], strict=True))[:value_count]
    return f"{where}=" + ",".join(f"{low:#x}" if low == high else f"{low:#x}:{high:#x}" for low, high in pairs)


def _bytecode(count: int, program: bytes) -> str | None:
    if not 0 < count <= BPF_INSTRUCTIONS:
        return None
    instructions = BPF_INSTRUCTION.iter_unpack(program[: count * BPF_INSTRUCTION.size])
    return f'--bytecode "{count},{",".join(" ".join(map(str, members)) for members in instructions)}"'


def bpf_0(_: Context, count: int, program: bytes, _filter: int) -> str | None:
    """Render `-m bpf` of revision 0."""
    return _bytecode(count, program)


def bpf_1(_: Context, mode: int, count: int, _fd: int, program: bytes, _filter: int) -> str | None:
    """Render revision 1: a program, or the path that one is pinned at."""
    if mode == BPF_PINNED:
        return f"--object-pinned {string(program)}"
    return _bytecode(count, program) if mode == BPF_BYTECODE else None


MATCHES = (
    Extension("bpf", 0, "H2x512sP", bpf_0, "linux/netfilter/xt_bpf.h"),
    Extension("bpf", 1, "HHi512sP", bpf_1, "linux/netfilter/xt_bpf.h"),
    Extension("u32", 0, "1980sBB", u32, "linux/netfilter/xt_u32.h"),
)
