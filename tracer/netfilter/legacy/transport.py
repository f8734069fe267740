"""Matches on transport headers: ports, flags, ICMP types, SCTP chunks."""

from __future__ import annotations

from tracer.netfilter.legacy.extension import Context, Extension
from tracer.netfilter.legacy.text import extent, named_bits, negation, words

EVERY_PORT = (0, 0xFFFF)
TCP_FLAGS = ((0x01, "FIN"), (0x02, "SYN"), (0x04, "RST"), (0x08, "PSH"), (0x10, "ACK"), (0x20, "URG"))
TCP_SOURCE, TCP_DESTINATION, TCP_INVERT_FLAGS, TCP_INVERT_OPTION = 0x01, 0x02, 0x04, 0x08
ICMP_INVERT = 0x01
ICMP_ANY_TYPE = 0xFF
MULTIPORT = {0: "--sports", 1: "--dports", 2: "--ports"}
SCTP_SOURCE, SCTP_DESTINATION, SCTP_CHUNKS = 0x01, 0x02, 0x04
SCTP_CHUNKS_MATCH = {1: "any", 2: "all", 4: "only"}
SCTP_CHUNK_NAMES = {
    0: "DATA",
    1: "INIT",
    2: "INIT_ACK",
    3: "SACK",
    4: "HEARTBEAT",
    5: "HEARTBEAT_ACK",
    6: "ABORT",
    7: "SHUTDOWN",
    8: "SHUTDOWN_ACK",
    9: "ERROR",
    10: "COOKIE_ECHO",
    11: "COOKIE_ACK",
    12: "ECN_ECNE",
    13: "ECN_CWR",
    14: "SHUTDOWN_COMPLETE",
    64: "I_DATA",
    128: "ASCONF_ACK",
    130: "RE_CONFIG",
    132: "PAD",
    192: "FORWARD_TSN",
    193: "ASCONF",
    194: "I_FORWARD_TSN",
}


def _ports(option: str, low: int, high: int, invert: int) -> str:
    if (low, high) == EVERY_PORT and not invert:
        return ""
    return f"{negation(invert)}{option} {extent(low, high)}"


def udp(_: Context, source_low: int, source_high: int, low: int, high: int, invert: int) -> str:
    """Render `-m udp`."""
    return words(
        _ports("--sport", source_low, source_high, invert & TCP_SOURCE),
        _ports("--dport", low, high, invert & TCP_DESTINATION),
    )


def tcp(
    context: Context,
    source_low: int,
    source_high: int,
    low: int,
    high: int,
    option: int,
    flag_mask: int,
    flags: int,
    invert: int,
) -> str | None:
    """Render `-m tcp`; iptables has no name for the flags ECE and CWR."""
    parts = [udp(context, source_low, source_high, low, high, invert)]
    if option or invert & TCP_INVERT_OPTION:
        parts.append(f"{negation(invert & TCP_INVERT_OPTION)}--tcp-option {option}")
    if flag_mask or invert & TCP_INVERT_FLAGS:
        examined, wanted = named_bits(flag_mask, TCP_FLAGS), named_bits(flags, TCP_FLAGS)
        if examined is None or wanted is None:
            return None
        parts.append(f"{negation(invert & TCP_INVERT_FLAGS)}--tcp-flags {examined or 'NONE'} {wanted or 'NONE'}")
    return words(*parts)


def sctp(
    _: Context,
    low: int,
    high: int,
    source_low: int,
    source_high: int,
    chunk_map: bytes,
    chunk_match: int,
    _flag_info: bytes,
    flag_count: int,
    flags: int,
    invert: int,
) -> str | None:
    """Render `-m sctp`, unless it looks at the flags of a chunk."""
    parts = []
    if flags & SCTP_SOURCE:
        parts.append(f"{negation(invert & SCTP_SOURCE)}--sport {extent(source_low, source_high)}")
    if flags & SCTP_DESTINATION:
        parts.append(f"{negation(invert & SCTP_DESTINATION)}--dport {extent(low, high)}")
    if flags & SCTP_CHUNKS:
        chunks = _sctp_chunks(chunk_map)
        if flag_count or chunks is None or chunk_match not in SCTP_CHUNKS_MATCH:
            return None
        parts.append(f"{negation(invert & SCTP_CHUNKS)}--chunk-types {SCTP_CHUNKS_MATCH[chunk_match]} {chunks}")
    return words(*parts)


def _sctp_chunks(chunk_map: bytes) -> str | None:
    if chunk_map == b"\xff" * len(chunk_map):
        return "ALL"
    words_of_map = memoryview(chunk_map).cast("I")
    chunks = [chunk for chunk in range(256) if words_of_map[chunk // 32] >> chunk % 32 & 1]
    if not all(chunk in SCTP_CHUNK_NAMES for chunk in chunks):
        return None
    return ",".join(SCTP_CHUNK_NAMES[chunk] for chunk in chunks) or "NONE"


def multiport(_: Context, kind: int, count: int, *members: int) -> str | None:
    """Render `-m multiport`; only revision 1 has ranges and can be inverted."""
    ports, ranges, invert = members[:15], members[15:30], any(members[30:])
    if kind not in MULTIPORT or count > len(ports):
        return None
    listed = "".join(
        f"{port}{':' if begins_range else ','}"
        for port, begins_range in zip(ports[:count], ranges or (0,) * count, strict=False)
    )
    return f"{negation(invert)}{MULTIPORT[kind]} {listed[:-1]}"


def _icmp(option: str, kind: str, code_low: int, code_high: int, invert: int) -> str | None:
    if (code_low, code_high) == (0, 0xFF):
        return f"{negation(invert & ICMP_INVERT)}{option} {kind}"
    if code_low == code_high:
        return f"{negation(invert & ICMP_INVERT)}{option} {kind}/{code_low}"
    return None


def icmp(_: Context, kind: int, code_low: int, code_high: int, invert: int) -> str | None:
    """Render `-m icmp`."""
    any_type = (kind, code_low, code_high) == (ICMP_ANY_TYPE, 0, 0xFF)
    return _icmp("--icmp-type", "any" if any_type else str(kind), code_low, code_high, invert)


def icmp6(_: Context, kind: int, code_low: int, code_high: int, invert: int) -> str | None:
    """Render `-m icmp6`."""
    return _icmp("--icmpv6-type", str(kind), code_low, code_high, invert)


MATCHES = (
    Extension("icmp", 0, "BBBB", icmp, "linux/netfilter_ipv4/ip_tables.h", ("ip",)),
    Extension("icmp6", 0, "BBBB", icmp6, "linux/netfilter_ipv6/ip6_tables.h", ("ip6",)),
    Extension("multiport", 0, "BB15H", multiport, "linux/netfilter/xt_multiport.h"),
    Extension("multiport", 1, "BB15H15BB", multiport, "linux/netfilter/xt_multiport.h"),
    Extension("sctp", 0, "4H256sI12siII", sctp, "linux/netfilter/xt_sctp.h"),
    Extension("tcp", 0, "4H4B", tcp, "linux/netfilter/xt_tcpudp.h"),
    Extension("udp", 0, "4HB", udp, "linux/netfilter/xt_tcpudp.h"),
)
