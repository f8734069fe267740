"""Hear from nf_tables which rules a marked packet matched.

nf_tables publishes every rule, return and policy that a packet with nf_trace meets on a multicast group of its
namespace. Anybody can set that bit: other tracers and the node's own `meta nftrace` publish there too, and a
message carries too little of the packet to tell a token. What identifies ours is the mark: the rule that sets the
bit is traced like any other. Its message comes before all others of the packet, its handle tells the leg, and its
trace id is that of all that follow. The id stays the same while a packet is with netfilter: it is made of the skb's
address, flow hash and incoming interface (nf_tables_trace.c). A packet that goes round through a loopback or
bridge device gets another, and is marked again.

A later packet may get an id again, and somebody else may trace it. Its headers, which come with the first message
of each base chain, then are not those of the leg.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import time
from collections.abc import Mapping
from typing import cast

from pyroute2.netlink import nlmsg
from pyroute2.netlink.nfnetlink import NFNLGRP_NFTRACE

from tracer.errors import CannotTraceError
from tracer.events import Leg
from tracer.netfilter.evidence import nfnetlink
from tracer.netfilter.evidence.mark import Mark
from tracer.netfilter.evidence.match import may_be_of
from tracer.netfilter.evidence.messages import NftEvidence, NftTraceMessage, Step, name_text
from tracer.netfilter.evidence.reader import MOST_AT_ONCE, TraceReader
from tracer.netfilter.evidence.table import OUR_TABLE
from tracer.netfilter.evidence.wire import nft_trace_msg
from tracer.netfilter.ruleset import Family
from tracer.netns import Netns, run_in

_FAMILIES: Mapping[int, Family] = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}
_STEPS: Mapping[int, Step] = {1: "policy", 2: "return", 3: "rule"}  # enum nft_trace_types
# include/uapi/linux/netfilter.h and enum nft_verdicts in nf_tables.h
_VERDICTS = {
    0: "drop",
    1: "accept",
    2: "stolen",
    3: "queue",
    4: "repeat",
    -1: "continue",
    -2: "break",
    -3: "jump",
    -4: "goto",
    -5: "return",
}
_VERDICT_MASK = 0xFF  # above it, a queue's number or the errno of a drop


class NftTraceReader(TraceReader):
    """The trace messages of one mark's packets in one namespace; `lost` counts what the kernel had no room for.

    It can be polled by `fileno`, and never blocks.
    """

    def __init__(self, stream: socket.socket, mark: Mark) -> None:
        """Take over `stream`, a member of the trace group."""
        super().__init__(stream, mark)
        self._legs: dict[int, Leg] = {}

    def discard(self) -> None:
        """Forget what waits, and what was lost: nothing of a probe that is not sent yet is among it."""
        nfnetlink.discard(self._stream)
        self.lost = 0

    def read(self) -> list[NftEvidence]:
        """Return what waits and is ours, in the kernel's order."""
        seen = []
        for data in itertools.islice(nfnetlink.receive(self._stream), MOST_AT_ONCE):
            if data is None:
                self.lost += 1
            else:
                seen.append(self._evidence(parse_nft_trace(data, time.monotonic_ns())))
        return [evidence for evidence in seen if evidence is not None]

    def _evidence(self, message: NftTraceMessage) -> NftEvidence | None:
        if OUR_TABLE.fullmatch(message.table):
            self._note(message)
            return None
        leg = self._legs.get(message.trace_id)
        if leg is None:
            return None
        if message.packet and not may_be_of(message.packet, leg, self._signatures):
            del self._legs[message.trace_id]
            return None
        return NftEvidence(leg, message)

    def _note(self, message: NftTraceMessage) -> None:
        """Note whose packet has the trace id, if a rule of the mark says so."""
        leg = self._mark.legs.get(message.handle) if message.handle else None
        if leg and message.table == self._mark.table:
            self._legs[message.trace_id] = leg


def open_nft_trace(netns: Netns, mark: Mark) -> NftTraceReader:
    """Listen in `netns` to what nf_tables says of the packets of `mark`, which was set there."""
    try:
        return NftTraceReader(run_in(netns, _stream), mark)
    except OSError as error:
        raise CannotTraceError(
            f"cannot listen to nf_tables' traces in the network namespace of {netns.label}: {error.strerror}",
            "Run as root (CAP_NET_ADMIN is needed)",
        ) from error


def _stream() -> socket.socket:
    with contextlib.ExitStack() as stack:
        stream = stack.enter_context(nfnetlink.open_socket())
        nfnetlink.listen(stream, NFNLGRP_NFTRACE)
        stack.pop_all()
    return stream


def parse_nft_trace(data: bytes, at_ns: int) -> NftTraceMessage:
    """Return one NFT_MSG_TRACE, given with its netlink header, as plain data."""
    decoded = nft_trace_msg(data)
    decoded.decode()
    found = dict(decoded["attrs"])
    handle = found.get("NFTA_TRACE_RULE_HANDLE")
    return NftTraceMessage(
        at_ns=at_ns,
        trace_id=found["NFTA_TRACE_ID"],
        family=_FAMILIES[decoded["nfgen_family"]],
        table=name_text(found["NFTA_TRACE_TABLE"]),
        chain=name_text(found["NFTA_TRACE_CHAIN"]),
        step=_STEPS[found["NFTA_TRACE_TYPE"]],
        handle=handle,
        verdict=_verdict(found),
        device_in=found.get("NFTA_TRACE_IIF", 0),
        device_out=found.get("NFTA_TRACE_OIF", 0),
        mark=found.get("NFTA_TRACE_MARK", 0),
        packet=found.get("NFTA_TRACE_NETWORK_HEADER", b"") + found.get("NFTA_TRACE_TRANSPORT_HEADER", b""),
    )


def _verdict(found: Mapping[str, object]) -> str:
    if "NFTA_TRACE_POLICY" in found:
        return "accept" if found["NFTA_TRACE_POLICY"] else "drop"
    verdict = cast(nlmsg, found["NFTA_TRACE_VERDICT"])
    code = verdict.get_attr("NFTA_VERDICT_CODE")
    word = _VERDICTS.get(code if code < 0 else code & _VERDICT_MASK, f"verdict {code}")
    chain = verdict.get_attr("NFTA_VERDICT_CHAIN")
    return f"{word} {name_text(chain)}" if chain else word
