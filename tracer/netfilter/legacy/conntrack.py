"""The matches conntrack and state: what connection tracking says of a packet."""

from __future__ import annotations

from socket import ntohs
from typing import NamedTuple

from tracer.netfilter.legacy.extension import Context, Extension
from tracer.netfilter.legacy.text import extent, named_bits, negation, network, words

# Bits of state_mask: xt_conntrack.h with enum ip_conntrack_info of nf_conntrack_common.h.
STATES = (
    (0x001, "INVALID"),
    (0x008, "NEW"),
    (0x004, "RELATED"),
    (0x002, "ESTABLISHED"),
    (0x100, "UNTRACKED"),
    (0x040, "SNAT"),
    (0x080, "DNAT"),
)
# Bits of xt_state.h: UNTRACKED is another one.
PLAIN_STATES = ((0x01, "INVALID"), (0x08, "NEW"), (0x04, "RELATED"), (0x02, "ESTABLISHED"), (0x40, "UNTRACKED"))
STATUSES = ((0x1, "EXPECTED"), (0x2, "SEEN_REPLY"), (0x4, "ASSURED"), (0x8, "CONFIRMED"))

# Bits of match_flags and invert_flags: XT_CONNTRACK_*.
STATE, PROTOCOL, STATUS, EXPIRES, DIRECTION = 0x0001, 0x0002, 0x0040, 0x0080, 0x1000
ORIGINAL_SOURCE, ORIGINAL_DESTINATION, REPLY_SOURCE, REPLY_DESTINATION = 0x0004, 0x0008, 0x0010, 0x0020
PORT = 6  # the flag of a tuple's port is that of its address, shifted by so many bits
STATE_ALIAS = 0x2000
KNOWN = 0x3FFF


class Info(NamedTuple):
    """The members of struct xt_conntrack_mtinfo3."""

    origsrc_addr: bytes
    origsrc_mask: bytes
    origdst_addr: bytes
    origdst_mask: bytes
    replsrc_addr: bytes
    replsrc_mask: bytes
    repldst_addr: bytes
    repldst_mask: bytes
    expires_min: int
    expires_max: int
    l4proto: int
    origsrc_port: int
    origdst_port: int
    replsrc_port: int
    repldst_port: int
    match_flags: int
    invert_flags: int
    state_mask: int
    status_mask: int
    origsrc_port_high: int
    origdst_port_high: int
    replsrc_port_high: int
    repldst_port_high: int


MATCH_FLAGS = Info._fields.index("match_flags")  # in every revision
NO_PORTS = (0, 0, 0, 0)


def conntrack(context: Context, info: Info) -> str | None:
    """Render `-m conntrack`."""
    states, statuses = named_bits(info.state_mask, STATES), named_bits(info.status_mask, STATUSES)
    if info.match_flags & ~KNOWN or states is None or statuses is None:
        return None

    def option(flag: int, name: str, value: str) -> str:
        return f"{negation(info.invert_flags & flag)}--{name} {value}" if info.match_flags & flag else ""

    return words(
        option(STATE, "state" if info.match_flags & STATE_ALIAS else "ctstate", states),
        option(PROTOCOL, "ctproto", str(info.l4proto)),
        *(option(flag, name, value) for flag, name, value in _tuples(context, info)),
        option(STATUS, "ctstatus", statuses or "NONE"),
        option(EXPIRES, "ctexpire", extent(info.expires_min, info.expires_max)),
        _direction(info),
    )


def _tuples(context: Context, info: Info) -> list[tuple[int, str, str]]:
    """Return flag, option and value of the addresses and ports, both directions."""
    if not info.match_flags & ~(STATE | STATE_ALIAS):
        return []  # nearly every rule: save the four addresses

    def host(raw: bytes, mask: bytes) -> str:
        return network(raw[: context.address_size], mask[: context.address_size])

    def ports(low: int, high: int) -> str:
        return extent(low, high or low)

    return [
        (ORIGINAL_SOURCE, "ctorigsrc", host(info.origsrc_addr, info.origsrc_mask)),
        (ORIGINAL_DESTINATION, "ctorigdst", host(info.origdst_addr, info.origdst_mask)),
        (REPLY_SOURCE, "ctreplsrc", host(info.replsrc_addr, info.replsrc_mask)),
        (REPLY_DESTINATION, "ctrepldst", host(info.repldst_addr, info.repldst_mask)),
        (ORIGINAL_SOURCE << PORT, "ctorigsrcport", ports(info.origsrc_port, info.origsrc_port_high)),
        (ORIGINAL_DESTINATION << PORT, "ctorigdstport", ports(info.origdst_port, info.origdst_port_high)),
        (REPLY_SOURCE << PORT, "ctreplsrcport", ports(info.replsrc_port, info.replsrc_port_high)),
        (REPLY_DESTINATION << PORT, "ctrepldstport", ports(info.repldst_port, info.repldst_port_high)),
    ]


def _direction(info: Info) -> str:
    if not info.match_flags & DIRECTION:
        return ""
    return f"--ctdir {'REPLY' if info.invert_flags & DIRECTION else 'ORIGINAL'}"


def conntrack_3(context: Context, *members: bytes | int) -> str | None:
    """Render revision 3."""
    return conntrack(context, Info._make(members))


def conntrack_1(context: Context, *members: bytes | int) -> str | None:
    """Render revisions 1 and 2, which have one port in network byte order for each range of revision 3."""
    info = Info._make((*members, *NO_PORTS))
    return conntrack(
        context,
        info._replace(
            origsrc_port=ntohs(info.origsrc_port),
            origdst_port=ntohs(info.origdst_port),
            replsrc_port=ntohs(info.replsrc_port),
            repldst_port=ntohs(info.repldst_port),
        ),
    )


def conntrack_name(_: Context, *members: bytes | int) -> str:
    """Return `state` for a match that was written as `-m state`."""
    return "state" if int(members[MATCH_FLAGS]) & STATE_ALIAS else "conntrack"


def state(_: Context, states: int) -> str | None:
    """Render `-m state` as iptables before 1.4.16 wrote it."""
    named = named_bits(states, PLAIN_STATES)
    return None if named is None else f"--state {named}"


ADDRESSES = "16s16s16s16s16s16s16s16s"
HEADER = "linux/netfilter/xt_conntrack.h"
MATCHES = (
    Extension("conntrack", 1, ADDRESSES + "IIH4HHHBB", conntrack_1, HEADER, alias=conntrack_name),
    Extension("conntrack", 2, ADDRESSES + "IIH4HHHHH", conntrack_1, HEADER, alias=conntrack_name),
    Extension("conntrack", 3, ADDRESSES + "IIH4HHHHH4H", conntrack_3, HEADER, alias=conntrack_name),
    Extension("state", 0, "I", state, "linux/netfilter/xt_state.h"),
)
