"""Hear from the legacy tables which rules a marked packet matched.

ip_tables logs `TRACE: table:chain:rule:N ` for every rule, return and policy that a packet with nf_trace meets
(trace_packet, net/ipv4/netfilter/ip_tables.c). It arrives on NFLOG group 0 while the namespace's logger is
nfnetlink_log: open the reader first, which loads that module, then set the logger (nf_log, `tracer.changes`),
and no trace is missed. Traces that somebody else's TRACE rules asked for arrive there too: ours are the packets that
the mark's signatures match.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import re
import socket
import time
from collections.abc import Mapping

from pyroute2.netlink import NLM_F_ACK, NLM_F_REQUEST
from pyroute2.netlink.nfnetlink import NFNL_SUBSYS_ULOG

from tracer.errors import CannotTraceError
from tracer.netfilter.evidence import nfnetlink
from tracer.netfilter.evidence.mark import Mark
from tracer.netfilter.evidence.match import leg_of
from tracer.netfilter.evidence.messages import LegacyEvidence, LegacyTraceMessage, Step, name_text
from tracer.netfilter.evidence.nf_log import TRACE_GROUP, group_holder
from tracer.netfilter.evidence.reader import MOST_AT_ONCE, TraceReader
from tracer.netfilter.evidence.wire import nflog_config, nflog_packet
from tracer.netfilter.ruleset import Family
from tracer.netns import Netns, run_in

_FAMILIES: Mapping[int, Family] = {socket.AF_INET: "ip", socket.AF_INET6: "ip6"}
_STEPS: Mapping[bytes, Step] = {b"rule": "rule", b"return": "return", b"policy": "policy"}
# A chain's name may hold colons and spaces, a table's not: what the kernel adds is found from the right.
_PREFIX = re.compile(rb"TRACE: ([^:]+):(.+):(rule|return|policy):(\d+) \0?", re.DOTALL)

_MSG_CONFIG = 1  # NFULNL_MSG_CONFIG, include/uapi/linux/netfilter/nfnetlink_log.h, as are the next ones
_BIND, _COPY_PACKET, _NUMBERED = 1, 2, 1  # NFULNL_CFG_CMD_BIND, NFULNL_COPY_PACKET, NFULNL_CFG_F_SEQ
_COPIED = 256  # bytes; an ICMPv6 error reaches a DNS query's token at byte 109


class LegacyTraceReader(TraceReader):
    """The legacy traces of one mark's packets in one namespace; `lost` counts what did not reach us.

    It can be polled by `fileno`, and never blocks. Close it before the mark.
    """

    def __init__(self, stream: socket.socket, mark: Mark) -> None:
        """Take over `stream`, which is bound to the NFLOG group."""
        super().__init__(stream, mark)
        self._expected: int | None = 0
        self._overruns = 0

    def discard(self) -> None:
        """Forget what waits, and what was lost: nothing of a probe that is not sent yet is among it."""
        nfnetlink.discard(self._stream)
        self._expected = None
        self._overruns = self.lost = 0

    def read(self) -> list[LegacyEvidence]:
        """Return what waits and is ours, in the kernel's order."""
        messages = self._receive()
        if not messages:
            return []
        # Asked for after the packets came: by then the mark has learnt all that tells their legs.
        answers = self._mark.answers()
        legs = [leg_of(message.packet, self._signatures, answers) for message in messages]
        return [LegacyEvidence(leg, message) for leg, message in zip(legs, messages, strict=True) if leg]

    def _receive(self) -> list[LegacyTraceMessage]:
        messages = []
        for data in itertools.islice(nfnetlink.receive(self._stream), MOST_AT_ONCE):
            if data is None:
                self._overruns += 1
                self.lost += 1
                continue
            packet = nflog_packet(data)
            packet.decode()
            self._count(packet.get_attr("NFULA_SEQ"))
            messages.append(_trace_message(packet, time.monotonic_ns()))
        return [message for message in messages if message is not None]

    def _count(self, sequence: int) -> None:
        """Count the messages missing before this one, but for those that the socket's overruns told of."""
        missing = (sequence - self._expected) % 2**32 if self._expected is not None else 0
        self.lost += max(missing - self._overruns, 0)
        self._expected = sequence + 1
        self._overruns = 0


def open_legacy_trace(netns: Netns, mark: Mark) -> LegacyTraceReader:
    """Bind NFLOG group 0 in `netns`, for the legacy traces of the packets of `mark`, which was set there.

    Raise CannotTraceError, with the holder's name where it can be found, when another program has the group.
    """
    return LegacyTraceReader(run_in(netns, lambda: _stream(netns)), mark)


def _stream(netns: Netns) -> socket.socket:
    try:
        with contextlib.ExitStack() as stack:
            stream = stack.enter_context(nfnetlink.open_socket())
            nfnetlink.request(stream, [_configuration()])
            nfnetlink.listen(stream)
            stack.pop_all()
    except OSError as error:
        raise _refused(netns, error) from error
    return stream


def _configuration() -> bytes:
    """Return the request for the group: every packet at once, numbered, with its first bytes."""
    message = nflog_config()
    message["attrs"] = [
        ("NFULA_CFG_CMD", _BIND),
        ("NFULA_CFG_MODE", {"copy_range": _COPIED, "copy_mode": _COPY_PACKET}),
        ("NFULA_CFG_QTHRESH", 1),
        ("NFULA_CFG_FLAGS", _NUMBERED),
    ]
    return nfnetlink.encode(
        message,
        kind=(NFNL_SUBSYS_ULOG << 8) | _MSG_CONFIG,
        flags=NLM_F_REQUEST | NLM_F_ACK,
        resource=TRACE_GROUP,
    )


def _refused(netns: Netns, error: OSError) -> CannotTraceError:
    where = f"NFLOG group {TRACE_GROUP} in the network namespace of {netns.label}"
    # A group that another socket has is refused with EPERM (nfulnl_recv_config, nfnetlink_log.c).
    holder = group_holder() if error.errno in {errno.EPERM, errno.EBUSY} else None
    if holder:
        return CannotTraceError(
            f"{where} is held by {holder}", "Legacy traces arrive on that group alone: stop it, and trace again"
        )
    if error.errno == errno.EPERM:
        return CannotTraceError(f"cannot bind {where}: {error.strerror}", "Run as root (CAP_NET_ADMIN is needed)")
    return CannotTraceError(f"cannot bind {where}: {error.strerror}", "Load the logger: modprobe nfnetlink_log")


def _trace_message(packet: nflog_packet, at_ns: int) -> LegacyTraceMessage | None:
    """Return a decoded NFULNL_MSG_PACKET as plain data, None when it is no TRACE."""
    found = dict(packet["attrs"])
    prefix = _PREFIX.fullmatch(found.get("NFULA_PREFIX", b""))
    family = _FAMILIES.get(packet["nfgen_family"])
    if prefix is None or family is None:
        return None
    table, chain, step, position = prefix.groups()
    return LegacyTraceMessage(
        at_ns=at_ns,
        family=family,
        hook=found["NFULA_PACKET_HDR"]["hook"],
        table=name_text(table),
        chain=name_text(chain),
        step=_STEPS[step],
        position=int(position),
        device_in=found.get("NFULA_IFINDEX_INDEV", 0),
        device_out=found.get("NFULA_IFINDEX_OUTDEV", 0),
        mark=found.get("NFULA_MARK", 0),
        packet=found.get("NFULA_PAYLOAD", b""),
    )
