"""Matches on IPsec: security parameter indexes and policies."""

from __future__ import annotations

import struct

from tracer.netfilter.legacy.extension import Context, Extension
from tracer.netfilter.legacy.text import extent, negation, network, words

EVERY_SPI = (0, 0xFFFFFFFF)
AH_INVERT_SPI, AH_INVERT_LENGTH = 0x01, 0x02

# linux/netfilter/xt_policy.h; struct xt_policy_spec is a bit field, of which C fills the low bits first
# on little-endian machines.
POLICY_ELEMENTS = 4
POLICY_ELEMENT = struct.Struct("@16s16s16s16sIIBBBB")
POLICY_IN, POLICY_NONE, POLICY_STRICT = 0x1, 0x4, 0x8
SOURCE, DESTINATION, PROTOCOL, MODE, SPI, REQUEST = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
MODES = {0: "transport", 1: "tunnel"}
PROTOCOLS = {50: "esp", 51: "ah", 108: "ipcomp"}


def _spi(option: str, low: int, high: int, invert: int) -> str:
    return f"{negation(invert)}{option} {extent(low, high)}" if (low, high) != EVERY_SPI or invert else ""


def esp(_: Context, low: int, high: int, invert: int) -> str:
    """Render `-m esp`."""
    return _spi("--espspi", low, high, invert & 1)


def ah(_: Context, low: int, high: int, invert: int) -> str:
    """Render `-m ah` of IPv4."""
    return _spi("--ahspi", low, high, invert & AH_INVERT_SPI)


def ah6(_: Context, low: int, high: int, length: int, reserved: int, invert: int) -> str:
    """Render `-m ah` of IPv6."""
    shows_length = length or invert & AH_INVERT_LENGTH
    return words(
        _spi("--ahspi", low, high, invert & AH_INVERT_SPI),
        f"{negation(invert & AH_INVERT_LENGTH)}--ahlen {length}" if shows_length else "",
        "--ahres" if reserved else "",
    )


def policy(context: Context, elements: bytes, flags: int, count: int) -> str | None:
    """Render `-m policy`."""
    if count > POLICY_ELEMENTS:
        return None
    rendered = [
        _policy_element(context, *members)
        for members in POLICY_ELEMENT.iter_unpack(elements[: count * POLICY_ELEMENT.size])
    ]
    return words(
        f"--dir {'in' if flags & POLICY_IN else 'out'}",
        f"--pol {'none' if flags & POLICY_NONE else 'ipsec'}",
        "--strict" if flags & POLICY_STRICT else "",
        " --next ".join(rendered),
    )


def _policy_element(
    context: Context,
    source: bytes,
    source_mask: bytes,
    destination: bytes,
    destination_mask: bytes,
    spi: int,
    request: int,
    protocol: int,
    mode: int,
    match: int,
    invert: int,
) -> str:
    size = context.address_size
    members = (
        (REQUEST, "reqid", str(request)),
        (SPI, "spi", f"{spi:#x}"),
        (PROTOCOL, "proto", PROTOCOLS.get(protocol, str(protocol))),
        (MODE, "mode", MODES.get(mode, str(mode))),
        (DESTINATION, "tunnel-dst", network(destination[:size], destination_mask[:size])),
        (SOURCE, "tunnel-src", network(source[:size], source_mask[:size])),
    )
    return words(*(f"{negation(invert & flag)}--{option} {value}" for flag, option, value in members if match & flag))


MATCHES = (
    Extension("ah", 0, "IIB", ah, "linux/netfilter_ipv4/ipt_ah.h", ("ip",)),
    Extension("ah", 0, "IIIBB", ah6, "linux/netfilter_ipv6/ip6t_ah.h", ("ip6",)),
    Extension("esp", 0, "IIB", esp, "linux/netfilter/xt_esp.h"),
    Extension("policy", 0, "304sHH", policy, "linux/netfilter/xt_policy.h"),
)
