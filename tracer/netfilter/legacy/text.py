"""Pieces of a rule's text, as iptables-save(8) writes them.

Where its releases differ, the latest (1.8.11) is followed: older ones leave out an inverted match on every
port or interface, which changes what the rule says, and look protocol numbers up in /etc/protocols.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from socket import AF_INET, AF_INET6, inet_ntop

ALL_BITS = 0xFFFFFFFF
PROTOCOLS = {
    1: "icmp",
    6: "tcp",
    17: "udp",
    50: "esp",
    51: "ah",
    58: "ipv6-icmp",
    132: "sctp",
    135: "mobility-header",
    136: "udplite",
}
"""Protocols that iptables knows by name; it writes any other as a number."""

_NEEDS_NO_QUOTES = re.compile(rb"[A-Za-z0-9_-]+")


def string(raw: bytes) -> str:
    r"""Return the C string at the start of `raw`; a byte that is not UTF-8 becomes `\xNN`."""
    return raw.partition(b"\0")[0].decode(errors="backslashreplace")


def quoted(raw: bytes) -> str:
    """Return the C string at the start of `raw`, quoted where iptables-save would quote it."""
    value = raw.partition(b"\0")[0]
    if not _NEEDS_NO_QUOTES.fullmatch(value):
        value = value.replace(b"\\", rb"\\").replace(b'"', rb"\"").replace(b"'", rb"\'")
        value = b'"' + value + b'"'
    return value.decode(errors="backslashreplace")


def words(*parts: str) -> str:
    """Join the parts that are not empty."""
    return " ".join(filter(None, parts))


def negation(invert: int) -> str:
    """Return the `! ` that goes before an inverted option."""
    return "! " if invert else ""


def extent(low: int, high: int, separator: str = ":") -> str:
    """Return `low:high`, or one number when they are the same."""
    return f"{low}" if low == high else f"{low}{separator}{high}"


def value_and_mask(value: int, mask: int) -> str:
    """Return a mark as `0x1/0x1`, without the mask when it is all ones."""
    return f"{value:#x}" if mask == ALL_BITS else f"{value:#x}/{mask:#x}"


def named_bits(bits: int, names: Iterable[tuple[int, str]], separator: str = ",") -> str | None:
    """Return the names of the bits that are set, in the order of `names`; None when a bit has no name."""
    found = []
    for bit, name in names:
        if bits & bit:
            found.append(name)
            bits &= ~bit
    return None if bits else separator.join(found)


def address(raw: bytes) -> str:
    """Return the address in network byte order: 4 bytes are IPv4, 16 are IPv6."""
    return inet_ntop(AF_INET if len(raw) == 4 else AF_INET6, raw)


@lru_cache(maxsize=1024)
def prefix(mask: bytes) -> str:
    """Return the length of a netmask, or the mask itself when its ones are not contiguous."""
    value = int.from_bytes(mask, "big")
    ones = value.bit_count()
    zeros = len(mask) * 8 - ones
    contiguous = value == ((1 << ones) - 1) << zeros
    return f"{ones}" if contiguous else address(mask)


def network(raw: bytes, mask: bytes) -> str:
    """Return `address/prefix`, without the prefix when it is that of one host."""
    return address(raw) if mask == b"\xff" * len(mask) else f"{address(raw)}/{prefix(mask)}"
