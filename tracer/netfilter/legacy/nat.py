"""Targets that rewrite addresses or redirect packets."""

from __future__ import annotations

from functools import partial
from socket import ntohs

from tracer.netfilter.legacy.extension import Context, Extension
from tracer.netfilter.legacy.text import address, prefix, words

# NF_NAT_RANGE_* of linux/netfilter/nf_nat.h
MAP_IPS, PROTO_SPECIFIED, PROTO_RANDOM, PERSISTENT, RANDOM_FULLY, PROTO_OFFSET = 1, 2, 4, 8, 16, 32
KNOWN = 63
TO_SOURCE, TO_DESTINATION, TO_PORTS = "--to-source", "--to-destination", "--to-ports"
FLAGS = ((PROTO_RANDOM, "--random"), (RANDOM_FULLY, "--random-fully"), (PERSISTENT, "--persistent"))


def _range(
    option: str,
    context: Context,
    flags: int,
    first: bytes,
    last: bytes,
    port_low: int,
    port_high: int,
    port_base: int = 0,
) -> str | None:
    """Render a struct nf_nat_range or nf_nat_range2."""
    if flags & ~KNOWN:
        return None
    size = context.address_size
    hosts, ports = "", ""
    if flags & MAP_IPS:
        hosts = address(first[:size]) + (f"-{address(last[:size])}" if first != last else "")
    if flags & PROTO_SPECIFIED:
        ports = f"{ntohs(port_low)}" + (f"-{ntohs(port_high)}" if port_low != port_high else "")
        ports += f"/{ntohs(port_base)}" if flags & PROTO_OFFSET else ""
        if hosts and context.family == "ip6":
            hosts = f"[{hosts}]"
    if ports and (hosts or option != TO_PORTS):
        ports = f":{ports}"
    return words(f"{option} {hosts}{ports}" if hosts or ports else "", *(name for flag, name in FLAGS if flags & flag))


def _compatible_range(
    option: str, context: Context, ranges: int, flags: int, first: bytes, last: bytes, low: int, high: int
) -> str | None:
    """Render a struct nf_nat_ipv4_multi_range_compat, which holds one range only."""
    return _range(option, context, flags, first, last, low, high) if ranges == 1 else None


def netmap(_: Context, _flags: int, first: bytes, last: bytes, _low: int, _high: int) -> str:
    """Render `-j NETMAP`: the bits in which the two addresses agree are the prefix."""
    mask = bytes(~(a ^ b) & 0xFF for a, b in zip(first, last, strict=True))
    return f"--to {address(first)}/{prefix(mask)}"


def netmap_4(context: Context, ranges: int, flags: int, first: bytes, last: bytes, low: int, high: int) -> str | None:
    """Render `-j NETMAP` of IPv4."""
    return netmap(context, flags, first, last, low, high) if ranges == 1 else None


def tproxy(context: Context, mask: int, mark: int, host: bytes, port: int) -> str:
    """Render `-j TPROXY`."""
    shown = address(host[: context.address_size])
    return f"--on-port {ntohs(port)} --on-ip {shown} --tproxy-mark {mark:#x}/{mask:#x}"


HEADER = "linux/netfilter/nf_nat.h"
COMPATIBLE = "II4s4sHH"
RANGE = "I16s16sHH"
RANGE2 = "I16s16sHHH"
TARGETS = (
    Extension("DNAT", 0, COMPATIBLE, partial(_compatible_range, TO_DESTINATION), HEADER, ("ip",)),
    Extension("DNAT", 1, RANGE, partial(_range, TO_DESTINATION), HEADER),
    Extension("DNAT", 2, RANGE2, partial(_range, TO_DESTINATION), HEADER),
    Extension("MASQUERADE", 0, COMPATIBLE, partial(_compatible_range, TO_PORTS), HEADER, ("ip",)),
    Extension("MASQUERADE", 0, RANGE, partial(_range, TO_PORTS), HEADER, ("ip6",)),
    Extension("NETMAP", 0, COMPATIBLE, netmap_4, HEADER, ("ip",)),
    Extension("NETMAP", 0, RANGE, netmap, HEADER, ("ip6",)),
    Extension("REDIRECT", 0, COMPATIBLE, partial(_compatible_range, TO_PORTS), HEADER, ("ip",)),
    Extension("REDIRECT", 0, RANGE, partial(_range, TO_PORTS), HEADER, ("ip6",)),
    Extension("SNAT", 0, COMPATIBLE, partial(_compatible_range, TO_SOURCE), HEADER, ("ip",)),
    Extension("SNAT", 1, RANGE, partial(_range, TO_SOURCE), HEADER),
    Extension("SNAT", 2, RANGE2, partial(_range, TO_SOURCE), HEADER),
    Extension("TPROXY", 0, "II4sH", tproxy, "linux/netfilter/xt_TPROXY.h", ("ip",)),
    Extension("TPROXY", 1, "II16sH", tproxy, "linux/netfilter/xt_TPROXY.h"),
)
