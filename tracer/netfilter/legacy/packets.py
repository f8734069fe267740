"""Matches on what the kernel knows of a packet: its addresses' types, devices, socket, owner; and comments."""

from __future__ import annotations

from tracer.netfilter.legacy.extension import Context, Extension, no_options
from tracer.netfilter.legacy.text import address, extent, named_bits, negation, quoted, string, words

# The bit numbers of RTN_* in linux/rtnetlink.h.
ADDRESS_TYPES = tuple(
    (1 << bit, name)
    for bit, name in enumerate(
        (
            "UNSPEC",
            "UNICAST",
            "LOCAL",
            "BROADCAST",
            "ANYCAST",
            "MULTICAST",
            "BLACKHOLE",
            "UNREACHABLE",
            "PROHIBIT",
            "THROW",
            "NAT",
            "XRESOLVE",
        )
    )
)
ADDRTYPE_INVERT_SOURCE, ADDRTYPE_INVERT_DESTINATION, ADDRTYPE_IN, ADDRTYPE_OUT = 0x1, 0x2, 0x4, 0x8
PACKET_TYPES = {0: "unicast", 1: "broadcast", 2: "multicast", 3: "otherhost"}
RPFILTER = ((0x1, "--loose"), (0x2, "--validmark"), (0x4, "--accept-local"), (0x8, "--invert"))
SOCKET = ((0x1, "--transparent"), (0x2, "--nowildcard"), (0x4, "--restore-skmark"))
PHYSDEV_IN, PHYSDEV_OUT, PHYSDEV_BRIDGED, PHYSDEV_IS_IN, PHYSDEV_IS_OUT = 0x01, 0x02, 0x04, 0x08, 0x10
OWNER_UID, OWNER_GID, OWNER_SOCKET, OWNER_GROUPS, OWNER_KNOWN = 0x1, 0x2, 0x4, 0x8, 0xF
IPVS_ANY = 0x1
RANGE_SOURCE, RANGE_DESTINATION, RANGE_INVERT = 0x01, 0x02, 4  # inverted: the flag shifted by so many bits


def comment(_: Context, value: bytes) -> str:
    """Render `-m comment`; comments are other people's text."""
    return f"--comment {quoted(value)}"


def addrtype(_: Context, source: int, destination: int, flags: int) -> str | None:
    """Render `-m addrtype` of revision 1."""
    sources, destinations = named_bits(source, ADDRESS_TYPES), named_bits(destination, ADDRESS_TYPES)
    if sources is None or destinations is None:
        return None
    return words(
        f"{negation(flags & ADDRTYPE_INVERT_SOURCE)}--src-type {sources}" if source else "",
        f"{negation(flags & ADDRTYPE_INVERT_DESTINATION)}--dst-type {destinations}" if destination else "",
        "--limit-iface-in" if flags & ADDRTYPE_IN else "",
        "--limit-iface-out" if flags & ADDRTYPE_OUT else "",
    )


def addrtype_0(
    context: Context, source: int, destination: int, invert_source: int, invert_destination: int
) -> str | None:
    """Render revision 0."""
    flags = (ADDRTYPE_INVERT_SOURCE if invert_source else 0) | (
        ADDRTYPE_INVERT_DESTINATION if invert_destination else 0
    )
    return addrtype(context, source, destination, flags)


def pkttype(_: Context, kind: int, invert: int) -> str:
    """Render `-m pkttype`."""
    return f"{negation(invert)}--pkt-type {PACKET_TYPES.get(kind, kind)}"


def owner(_: Context, uid_low: int, uid_high: int, gid_low: int, gid_high: int, match: int, invert: int) -> str | None:
    """Render `-m owner`."""
    if match & ~OWNER_KNOWN:
        return None
    options = (
        (OWNER_SOCKET, "--socket-exists"),
        (OWNER_UID, f"--uid-owner {extent(uid_low, uid_high, '-')}"),
        (OWNER_GID, f"--gid-owner {extent(gid_low, gid_high, '-')}"),
        (OWNER_GROUPS, "--suppl-groups"),
    )
    return words(*(negation(invert & flag) + option for flag, option in options if match & flag))


def physdev(_: Context, into: bytes, _into_mask: bytes, out: bytes, _out_mask: bytes, invert: int, match: int) -> str:
    """Render `-m physdev`."""
    options = (
        (PHYSDEV_IS_IN, "--physdev-is-in"),
        (PHYSDEV_IN, f"--physdev-in {string(into)}"),
        (PHYSDEV_IS_OUT, "--physdev-is-out"),
        (PHYSDEV_OUT, f"--physdev-out {string(out)}"),
        (PHYSDEV_BRIDGED, "--physdev-is-bridged"),
    )
    return words(*(negation(invert & flag) + option for flag, option in options if match & flag))


def rpfilter(_: Context, flags: int) -> str | None:
    """Render `-m rpfilter`."""
    return named_bits(flags, RPFILTER, " ")


def socket(_: Context, flags: int) -> str | None:
    """Render `-m socket`, of which each revision knows one flag more."""
    return named_bits(flags, SOCKET, " ")


def iprange(context: Context, source_low: bytes, source_high: bytes, low: bytes, high: bytes, flags: int) -> str:
    """Render `-m iprange`."""
    size = context.address_size
    options = (
        (RANGE_SOURCE, f"--src-range {address(source_low[:size])}-{address(source_high[:size])}"),
        (RANGE_DESTINATION, f"--dst-range {address(low[:size])}-{address(high[:size])}"),
    )
    return words(*(negation(flags & flag << RANGE_INVERT) + option for flag, option in options if flags & flag))


def ipvs(_: Context, *members: bytes | int) -> str | None:
    """Render `-m ipvs` that asks for any IPVS connection, which is all that Calico and Docker write."""
    *_others, invert, asked = members
    return f"{negation(int(invert) & IPVS_ANY)}--ipvs" if asked == IPVS_ANY else None


MATCHES = (
    Extension("addrtype", 0, "HHII", addrtype_0, "linux/netfilter/xt_addrtype.h"),
    Extension("addrtype", 1, "HHI", addrtype, "linux/netfilter/xt_addrtype.h"),
    Extension("comment", 0, "256s", comment, "linux/netfilter/xt_comment.h"),
    Extension("iprange", 1, "16s16s16s16sB", iprange, "linux/netfilter/xt_iprange.h"),
    Extension("ipvs", 0, "16s16sHBBHBB", ipvs, "linux/netfilter/xt_ipvs.h"),
    Extension("owner", 1, "IIIIBB", owner, "linux/netfilter/xt_owner.h"),
    Extension("physdev", 0, "16s16s16s16sBB", physdev, "linux/netfilter/xt_physdev.h"),
    Extension("pkttype", 0, "ii", pkttype, "linux/netfilter/xt_pkttype.h"),
    Extension("rpfilter", 0, "B", rpfilter, "linux/netfilter/xt_rpfilter.h"),
    Extension("socket", 0, "", no_options, "net/netfilter/xt_socket.c"),
    Extension("socket", 1, "B", socket, "linux/netfilter/xt_socket.h"),
    Extension("socket", 2, "B", socket, "linux/netfilter/xt_socket.h"),
    Extension("socket", 3, "B", socket, "linux/netfilter/xt_socket.h"),
)
