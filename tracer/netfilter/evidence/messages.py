r"""What the two traces say, as plain data.

Names are the packet filter's and may hold any bytes; those that are not UTF-8 are written as `\xNN`.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from tracer.events import Leg
from tracer.netfilter.ruleset import Family

Step: TypeAlias = Literal["rule", "return", "policy"]


class NftTraceMessage(msgspec.Struct, frozen=True):
    """What one NFT_MSG_TRACE says: a rule that matched, a return, or a base chain's policy.

    `handle` is the rule's, None for a policy and at a chain's end, which kernels call `return` or `rule`.
    `verdict` uses nft's words. `packet` holds at most 40 bytes of the network header and 20 of the transport
    header, and only in the first message of a base chain. Interfaces are indexes, 0 for none. `at_ns` is when it
    was read.
    """

    at_ns: int
    trace_id: int
    family: Family
    table: str
    chain: str
    step: Step
    handle: int | None
    verdict: str
    device_in: int
    device_out: int
    mark: int
    packet: bytes


class LegacyTraceMessage(msgspec.Struct, frozen=True):
    """What one TRACE of a legacy table says, with the packet from its network header on.

    `step` is the kernel's word: it says `return` or `policy` of any rule without a match that ends its chain
    (get_chainname_rulenum, net/ipv4/netfilter/ip_tables.c). `position` counts the chain's rules from 1, and its
    end as one more. `hook` is a number of HOOKS; interfaces are indexes, 0 for none.
    """

    at_ns: int
    family: Family
    hook: int
    table: str
    chain: str
    step: Step
    position: int
    device_in: int
    device_out: int
    mark: int
    packet: bytes


class NftEvidence(msgspec.Struct, frozen=True):
    """A trace message of ours, with the leg that our mark told."""

    leg: Leg
    message: NftTraceMessage


class LegacyEvidence(msgspec.Struct, frozen=True):
    """A TRACE of a packet of ours, with the leg that the packet's bytes tell."""

    leg: Leg
    message: LegacyTraceMessage


def name_text(name: bytes) -> str:
    """Return a table's or chain's name as text, without the byte that ends it."""
    return name.rstrip(b"\0").decode("utf-8", "backslashreplace")
