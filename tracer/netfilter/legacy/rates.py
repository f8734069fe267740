"""Matches that count: limit, hashlimit, statistic, recent, connlimit."""

from __future__ import annotations

from typing import NamedTuple

from tracer.netfilter.legacy.extension import Context, Extension
from tracer.netfilter.legacy.text import address, named_bits, negation, string, words

LIMIT_SCALE, LIMIT_BURST = 10_000, 5  # linux/netfilter/xt_limit.h, and the default burst of iptables
UNITS = ((86_400, "day"), (3_600, "hour"), (60, "min"), (1, "sec"))

# linux/netfilter/xt_hashlimit.h
HASH_MODES = ((4, "srcip"), (8, "srcport"), (1, "dstip"), (2, "dstport"))
HASH_KEYS, HASH_INVERT, HASH_BYTES, HASH_RATE_MATCH, HASH_KNOWN = 0x0F, 0x10, 0x20, 0x40, 0x7F
HASH_SCALES = {1: 10_000, 2: 1_000_000, 3: 1_000_000}
HASH_BYTE_SHIFT = 4
HASH_GC_INTERVAL_MS, HASH_BYTES_EXPIRE_MS, HASH_BYTES_BURST_EXPIRE_MS = 1_000, 15_000, 60_000
BYTE_UNITS = ((1 << 20, "m"), (1 << 10, "k"), (1, ""))
UINT32_MAX, UINT64_MAX = 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF

STATISTIC_RANDOM, STATISTIC_NTH = 0, 1
RECENT_ACTIONS = ((0x02, "--set"), (0x01, "--rcheck"), (0x04, "--update"), (0x08, "--remove"))
RECENT_TTL, RECENT_REAP, RECENT_KNOWN = 0x10, 0x20, 0x3F
RECENT_SIDES = {0: "--rsource", 1: "--rdest"}
CONNLIMIT_INVERT, CONNLIMIT_DESTINATION = 0x1, 0x2


def _rate(period: int, scale: int) -> tuple[str, int]:
    """Return packets a unit of time, from the time between two, and that unit in milliseconds.

    The longest unit is taken that does not lose too much to rounding.
    """
    if not period:
        return "inf", 0
    chosen = UNITS[0]
    for unit in UNITS[1:]:
        ticks = unit[0] * scale
        if period > ticks or ticks // period < ticks % period:
            break
        chosen = unit
    seconds, name = chosen
    return f"{seconds * scale // period}/{name}", seconds * 1_000


def limit(_: Context, period: int, burst: int, *_kernel: int) -> str:
    """Render `-m limit`."""
    return words(f"--limit {_rate(period, LIMIT_SCALE)[0]}", f"--limit-burst {burst}" if burst != LIMIT_BURST else "")


def _cost(rate: int) -> int:
    """Return what the kernel keeps of a rate in bytes a second."""
    return UINT32_MAX // ((rate >> HASH_BYTE_SHIFT) + 1)


def _byte_rate(cost: int, burst: int) -> tuple[str, int]:
    """Return the options of a rate in bytes, and how long an entry lives by default, in milliseconds."""
    rate = ((UINT32_MAX // cost if cost else UINT32_MAX) - 1 << HASH_BYTE_SHIFT) & UINT64_MAX
    size, unit = next(
        (size, unit) for size, unit in BYTE_UNITS if size == 1 or (rate >= size and _cost(rate & ~(size - 1)) == cost)
    )
    shown = f"{rate // size}{unit}b/s"
    if not burst:
        return shown, HASH_BYTES_EXPIRE_MS
    size, unit = next((size, unit) for size, unit in BYTE_UNITS if rate * burst >= size or size == 1)
    return f"{shown} --hashlimit-burst {rate * burst // size}{unit}b", HASH_BYTES_BURST_EXPIRE_MS


class HashlimitConfig(NamedTuple):
    """The members of struct hashlimit_cfg3; revision 2 lacks `interval`, revision 1 begins with `mode`."""

    avg: int
    burst: int
    mode: int
    size: int
    max: int
    gc_interval: int
    expire: int
    interval: int
    srcmask: int
    dstmask: int


def _hashlimit(context: Context, revision: int, name: bytes, config: HashlimitConfig) -> str | None:
    if config.mode & ~HASH_KNOWN:
        return None
    if config.mode & HASH_BYTES:
        rate, default_expire = _byte_rate(config.avg, config.burst)
    else:
        rate, default_expire = _rate(config.avg, HASH_SCALES[revision])
        rate = f"{rate} --hashlimit-burst {config.burst}"
    keys = named_bits(config.mode & HASH_KEYS, HASH_MODES)
    host = context.address_size * 8
    rate_match = revision == 3 and config.mode & HASH_RATE_MATCH
    return words(
        f"--hashlimit-{'above' if config.mode & HASH_INVERT else 'upto'} {rate}",
        f"--hashlimit-mode {keys}" if keys else "",
        f"--hashlimit-name {string(name)}",
        f"--hashlimit-htable-size {config.size}" if config.size else "",
        f"--hashlimit-htable-max {config.max}" if config.max else "",
        f"--hashlimit-htable-gcinterval {config.gc_interval}" if config.gc_interval != HASH_GC_INTERVAL_MS else "",
        f"--hashlimit-htable-expire {config.expire}" if config.expire != default_expire else "",
        f"--hashlimit-srcmask {config.srcmask}" if config.srcmask != host else "",
        f"--hashlimit-dstmask {config.dstmask}" if config.dstmask != host else "",
        "--hashlimit-rate-match" if rate_match else "",
        f"--hashlimit-rate-interval {config.interval}" if rate_match and config.interval != 1 else "",
    )


def hashlimit_1(context: Context, name: bytes, mode: int, avg: int, burst: int, *members: int) -> str | None:
    """Render revision 1."""
    size, maximum, gc_interval, expire, srcmask, dstmask, _table = members
    config = HashlimitConfig(avg, burst, mode, size, maximum, gc_interval, expire, 0, srcmask, dstmask)
    return _hashlimit(context, 1, name, config)


def hashlimit_2(context: Context, name: bytes, *members: int) -> str | None:
    """Render revision 2."""
    avg, burst, mode, size, maximum, gc_interval, expire, srcmask, dstmask, _table = members
    config = HashlimitConfig(avg, burst, mode, size, maximum, gc_interval, expire, 0, srcmask, dstmask)
    return _hashlimit(context, 2, name, config)


def hashlimit_3(context: Context, name: bytes, *members: int) -> str | None:
    """Render revision 3."""
    *config, _table = members
    return _hashlimit(context, 3, name, HashlimitConfig(*config))


def statistic(_: Context, mode: int, invert: int, value: int, packet: int, *_kernel: int) -> str | None:
    """Render `-m statistic`: `value` is a probability, or one less than the n of every nth packet."""
    if mode == STATISTIC_RANDOM:
        return f"--mode random {negation(invert & 1)}--probability {value / 0x80000000:.11f}"
    if mode == STATISTIC_NTH:
        return f"--mode nth {negation(invert & 1)}--every {value + 1 & UINT32_MAX} --packet {packet}"
    return None


def recent(
    context: Context, seconds: int, hits: int, flags: int, invert: int, name: bytes, side: int, mask: bytes = b""
) -> str | None:
    """Render `-m recent`; revision 0 has no mask."""
    if flags & ~RECENT_KNOWN or side not in RECENT_SIDES:
        return None
    return negation(invert) + words(
        *(option for flag, option in RECENT_ACTIONS if flags & flag),
        f"--seconds {seconds}" if seconds else "",
        "--reap" if flags & RECENT_REAP else "",
        f"--hitcount {hits}" if hits else "",
        "--rttl" if flags & RECENT_TTL else "",
        f"--name {string(name)}",
        f"--mask {address(mask[: context.address_size])}" if mask else "",
        RECENT_SIDES[side],
    )


def connlimit(context: Context, mask: bytes, maximum: int, flags: int, _data: int) -> str:
    """Render `-m connlimit` of revision 1."""
    ones = int.from_bytes(mask[: context.address_size], "big").bit_count()
    return words(
        f"--connlimit-{'upto' if flags & CONNLIMIT_INVERT else 'above'} {maximum}",
        f"--connlimit-mask {ones}",
        f"--connlimit-{'daddr' if flags & CONNLIMIT_DESTINATION else 'saddr'}",
    )


# The last members are the kernel's own, here and in xt_limit.h, xt_statistic.h and xt_connlimit.h.
HASHLIMIT = "linux/netfilter/xt_hashlimit.h"
MATCHES = (
    Extension("connlimit", 1, "16sIIP", connlimit, "linux/netfilter/xt_connlimit.h"),
    Extension("hashlimit", 1, "16s7IBBP", hashlimit_1, HASHLIMIT),
    Extension("hashlimit", 2, "255sQQ5IBBP", hashlimit_2, HASHLIMIT),
    Extension("hashlimit", 3, "255sQQ6IBBP", hashlimit_3, HASHLIMIT),
    Extension("limit", 0, "IILIIIP", limit, "linux/netfilter/xt_limit.h"),
    Extension("recent", 0, "IIBB200sB", recent, "linux/netfilter/xt_recent.h"),
    Extension("recent", 1, "IIBB200sBx16s", recent, "linux/netfilter/xt_recent.h"),
    Extension("statistic", 0, "HHIIIP", statistic, "linux/netfilter/xt_statistic.h"),
)
