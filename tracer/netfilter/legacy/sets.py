"""The match set and the target SET: membership of an ipset.

A rule holds a set's index; its name comes from the kernel (sockopt.py).
"""

from __future__ import annotations

from tracer.netfilter.legacy.extension import Context, Extension
from tracer.netfilter.legacy.text import negation, words

# linux/netfilter/ipset/ip_set.h
DIM_MAX = 6
NO_SET = 0xFFFF  # IPSET_INVALID_ID
EXIST, SKIP_COUNTERS, SKIP_SUBCOUNTERS, COMPARES_COUNTERS, RETURN_NOMATCH = 0x01, 0x08, 0x10, 0x20, 0x80
MAPS = ((0x100, "--map-mark"), (0x200, "--map-prio"), (0x400, "--map-queue"))
COUNTER_NONE = 0
COMPARISONS = {1: "--{}-eq", 2: "! --{}-eq", 3: "--{}-lt", 4: "--{}-gt"}
NO_TIMEOUT = 0xFFFFFFFF
MATCH_FLAGS = SKIP_COUNTERS | SKIP_SUBCOUNTERS | COMPARES_COUNTERS | RETURN_NOMATCH
TARGET_FLAGS = EXIST | sum(bit for bit, _ in MAPS)

# linux/netfilter/xt_set.h, revision 0
SOURCE_0, INVERT_0 = 0x01, 0x04


def _set(context: Context, index: int, sides: list[str]) -> str:
    name = context.set_names.get(index, f"[set {index}, name unknown]")
    return words(name, ",".join(sides))


def _sides(dimensions: int, flags: int) -> list[str]:
    return ["src" if flags & 1 << dimension else "dst" for dimension in range(1, dimensions + 1)]


def _sides_0(flags: tuple[int, ...]) -> list[str]:
    """Return the sides of revision 0: one word of flags a dimension, ended by a zero."""
    end = flags.index(0) if 0 in flags else len(flags)
    return ["src" if word & SOURCE_0 else "dst" for word in flags[:end]]


def match_0(context: Context, index: int, *flags: int) -> str:
    """Render revision 0; the last word is the kernel's own."""
    invert = negation(flags[0] & INVERT_0)
    return f"{invert}--match-set {_set(context, index, _sides_0(flags[:DIM_MAX]))}"


def match_1(context: Context, index: int, dimensions: int, flags: int) -> str | None:
    """Render revision 1, and what the later ones share with it."""
    if dimensions > DIM_MAX:
        return None
    return f"{negation(flags & 1)}--match-set {_set(context, index, _sides(dimensions, flags))}"


def match_2(context: Context, index: int, dimensions: int, flags: int) -> str | None:
    """Render revision 2."""
    match = match_1(context, index, dimensions, flags)
    return match and words(match, "--return-nomatch" if flags & RETURN_NOMATCH else "")


def match_4(
    context: Context,
    index: int,
    dimensions: int,
    set_flags: int,
    packets: int,
    packets_comparison: int,
    bytes_: int,
    bytes_comparison: int,
    flags: int,
) -> str | None:
    """Render revision 4."""
    match = match_1(context, index, dimensions, set_flags)
    known = {COUNTER_NONE, *COMPARISONS}
    if match is None or flags & ~MATCH_FLAGS or not {packets_comparison, bytes_comparison} <= known:
        return None
    return words(
        match,
        "--return-nomatch" if flags & RETURN_NOMATCH else "",
        "! --update-counters" if flags & SKIP_COUNTERS else "",
        "! --update-subcounters" if flags & SKIP_SUBCOUNTERS else "",
        _counter("packets", packets_comparison, packets),
        _counter("bytes", bytes_comparison, bytes_),
    )


def _counter(name: str, comparison: int, value: int) -> str:
    return f"{COMPARISONS[comparison].format(name)} {value}" if comparison != COUNTER_NONE else ""


def match_3(
    context: Context,
    index: int,
    dimensions: int,
    set_flags: int,
    packets_comparison: int,
    packets: int,
    bytes_comparison: int,
    bytes_: int,
    flags: int,
) -> str | None:
    """Render revision 3, whose counters have the operator first."""
    counters = (packets, packets_comparison, bytes_, bytes_comparison)
    return match_4(context, index, dimensions, set_flags, *counters, flags)


def _target(context: Context, option: str, index: int, dimensions: int, flags: int) -> str:
    if index == NO_SET:
        return ""
    return f"{option} {_set(context, index, _sides(min(dimensions, DIM_MAX), flags))}"


def target_0(context: Context, add: int, *members: int) -> str:
    """Render revision 0: two sets, each an index and seven words of flags."""
    add_flags, delete, delete_flags = members[:DIM_MAX], members[7], members[8 : 8 + DIM_MAX]
    return words(
        f"--add-set {_set(context, add, _sides_0(add_flags))}" if add != NO_SET else "",
        f"--del-set {_set(context, delete, _sides_0(delete_flags))}" if delete != NO_SET else "",
    )


def target_3(context: Context, *members: int) -> str | None:
    """Render revision 3: three sets (add, delete, map), each index, dimensions and flags; flags, timeout."""
    add, delete, mapped, (flags, timeout) = members[:3], members[3:6], members[6:9], members[9:]
    if flags & ~TARGET_FLAGS:
        return None
    return words(
        _target(context, "--add-set", *add),
        "--exist" if flags & EXIST else "",
        f"--timeout {timeout}" if timeout != NO_TIMEOUT else "",
        _target(context, "--del-set", *delete),
        _target(context, "--map-set", *mapped),
        *(option for bit, option in MAPS if flags & bit),
    )


def target_2(context: Context, *members: int) -> str | None:
    """Render revision 2, which maps nothing."""
    return target_3(context, *members[:6], NO_SET, 0, 0, *members[6:])


def target_1(context: Context, *members: int) -> str | None:
    """Render revision 1, which has neither flags nor timeout."""
    return target_2(context, *members, 0, NO_TIMEOUT)


HEADER = "linux/netfilter/xt_set.h"
MATCHES = (
    Extension("set", 0, "H7I", match_0, HEADER),
    Extension("set", 1, "HBB", match_1, HEADER),
    Extension("set", 2, "HBB", match_2, HEADER),
    Extension("set", 3, "HBB4xBQBQI", match_3, HEADER),
    Extension("set", 4, "HBBQB7xQB7xI", match_4, HEADER),
)
TARGETS = (
    Extension("SET", 0, "H7IH2x7I", target_0, HEADER),
    Extension("SET", 1, "HBBHBB", target_1, HEADER),
    Extension("SET", 2, "HBBHBBII", target_2, HEADER),
    Extension("SET", 3, "HBBHBBHBBII", target_3, HEADER),
)
