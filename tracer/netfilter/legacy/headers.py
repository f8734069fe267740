"""Matches on link and network headers: length, TOS, TTL, routing header."""

from __future__ import annotations

from tracer.netfilter.legacy.extension import Context, Extension
from tracer.netfilter.legacy.text import address, extent, negation, words

TTL = {0: "--{}-eq", 1: "! --{}-eq", 2: "--{}-lt", 3: "--{}-gt"}

# linux/netfilter_ipv6/ip6t_rt.h
RT_TYPE, RT_LENGTH, RT_RESERVED, RT_ADDRESSES, RT_NOT_STRICT = 0x01, 0x04, 0x08, 0x10, 0x20
RT_INVERT_TYPE, RT_INVERT_SEGMENTS, RT_INVERT_LENGTH = 0x1, 0x2, 0x4
RT_HOPS = 16
EVERY_SEGMENT = (0, 0xFFFFFFFF)


def length(_: Context, low: int, high: int, invert: int) -> str:
    """Render `-m length`."""
    return f"{negation(invert)}--length {extent(low, high)}"


def tcpmss(_: Context, low: int, high: int, invert: int) -> str:
    """Render `-m tcpmss`."""
    return f"{negation(invert)}--mss {extent(low, high)}"


def mac(_: Context, source: bytes, invert: int) -> str:
    """Render `-m mac`."""
    return f"{negation(invert)}--mac-source {source.hex(':')}"


def tos(_: Context, mask: int, value: int, invert: int) -> str:
    """Render `-m tos`."""
    return f"{negation(invert)}--tos {value:#04x}/{mask:#04x}"


def dscp(_: Context, value: int, invert: int) -> str:
    """Render `-m dscp`."""
    return f"{negation(invert)}--dscp {value:#04x}"


def ttl(_: Context, mode: int, value: int) -> str | None:
    """Render `-m ttl`."""
    return f"{TTL[mode].format('ttl')} {value}" if mode in TTL else None


def hl(_: Context, mode: int, value: int) -> str | None:
    """Render `-m hl`."""
    return f"{TTL[mode].format('hl')} {value}" if mode in TTL else None


def rt(
    _: Context,
    kind: int,
    segments_low: int,
    segments_high: int,
    header_length: int,
    flags: int,
    invert: int,
    hops: bytes,
    count: int,
) -> str | None:
    """Render `-m rt`."""
    if count > RT_HOPS:
        return None
    addresses = ",".join(address(hops[at : at + 16]) for at in range(0, count * 16, 16))
    segments = (segments_low, segments_high)
    inverts_segments = invert & RT_INVERT_SEGMENTS
    return words(
        f"{negation(invert & RT_INVERT_TYPE)}--rt-type {kind}" if flags & RT_TYPE else "",
        f"{negation(inverts_segments)}--rt-segsleft {extent(*segments)}"
        if segments != EVERY_SEGMENT or inverts_segments
        else "",
        f"{negation(invert & RT_INVERT_LENGTH)}--rt-len {header_length}" if flags & RT_LENGTH else "",
        "--rt-0-res" if flags & RT_RESERVED else "",
        "--rt-0-addrs" if flags & RT_ADDRESSES else "",
        addresses,
        "--rt-0-not-strict" if flags & RT_NOT_STRICT else "",
    )


MATCHES = (
    Extension("dscp", 0, "BB", dscp, "linux/netfilter/xt_dscp.h"),
    Extension("hl", 0, "BB", hl, "linux/netfilter_ipv6/ip6t_hl.h", ("ip6",)),
    Extension("length", 0, "HHB", length, "linux/netfilter/xt_length.h"),
    Extension("mac", 0, "6si", mac, "linux/netfilter/xt_mac.h"),
    Extension("rt", 0, "IIIIBB2x256sB", rt, "linux/netfilter_ipv6/ip6t_rt.h", ("ip6",)),
    Extension("tcpmss", 0, "HHB", tcpmss, "linux/netfilter/xt_tcpmss.h"),
    Extension("tos", 1, "BBB", tos, "linux/netfilter/xt_dscp.h"),
    Extension("ttl", 0, "BB", ttl, "linux/netfilter_ipv4/ipt_ttl.h", ("ip",)),
)
