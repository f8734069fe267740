"""Set nf_trace on one probe's packets, by a table of nf_tables that goes when we do.

The table belongs to our netlink socket (NFT_TABLE_F_OWNER, kernel 5.12): nobody else can change it, `nft flush
ruleset` leaves it alone, and it goes with the socket, also after kill -9 (nft_rcv_nl_event,
net/netfilter/nf_tables_api.c). The bit does not survive the way into another namespace: mark in each.
"""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Mapping
from types import TracebackType

from pyroute2.netlink import NLM_F_DUMP
from pyroute2.netlink.nfnetlink import nftsocket as nft

from tracer.errors import CannotTraceError
from tracer.events import Leg
from tracer.netfilter.evidence import nfnetlink
from tracer.netfilter.evidence.match import KnownAnswers, known_answers
from tracer.netfilter.evidence.signature import ProbeMark
from tracer.netfilter.evidence.table import answers_request, noted_leg, table_batch, table_name
from tracer.netfilter.evidence.wire import nft_encoded_rule
from tracer.netns import Netns, run_in


class Mark:
    """The table that marks one probe's packets in one namespace; it goes when this closes.

    `table` is its name; `legs` tells, by a marking rule's handle, which leg's packets it marks.
    """

    def __init__(self, probe: ProbeMark, legs: Mapping[int, Leg], owner: socket.socket) -> None:
        """Take over `owner`, the socket that the table belongs to."""
        self.probe = probe
        self.table = table_name(probe)
        self.legs = legs
        self._owner = owner

    def __enter__(self) -> Mark:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Take the table away; once more does nothing."""
        self._owner.close()

    def answers(self) -> KnownAnswers:
        """Return what is known by now of where replies to the UDP request come from and go to."""
        if self.probe.protocol != "udp":
            return KnownAnswers()
        dump = nfnetlink.request(self._owner, [answers_request(self.probe, NLM_F_DUMP)])
        return known_answers(key for message in dump for key in _keys(message))


def mark_flow(netns: Netns, probe: ProbeMark) -> Mark:
    """Set nf_trace in `netns` on the packets of `probe`, request and reply, until the mark closes.

    Raise CannotTraceError where the kernel has no nf_tables, no tables with an owner, or refuses us.
    """
    try:
        return run_in(netns, lambda: _mark(probe))
    except OSError as error:
        raise _refused(netns, error) from error


def _mark(probe: ProbeMark) -> Mark:
    with contextlib.ExitStack() as stack:
        owner = stack.enter_context(nfnetlink.open_socket())
        echoes = nfnetlink.request(owner, [table_batch(probe)])
        mark = Mark(probe, dict(map(_handle_and_leg, echoes)), owner)
        stack.pop_all()
    return mark


def _handle_and_leg(echo: bytes) -> tuple[int, Leg]:
    message = nft_encoded_rule(echo)
    message.decode()
    return message.get_attr("NFTA_RULE_HANDLE"), noted_leg(message.get_attr("NFTA_RULE_USERDATA"))


def _keys(dump: bytes) -> list[bytes]:
    message = nft.nft_set_elem_list_msg(dump)
    message.decode()
    elements = message.get_attr("NFTA_SET_ELEM_LIST_ELEMENTS") or []
    return [element.get_attr("NFTA_SET_ELEM_KEY").get_attr("NFTA_DATA_VALUE") for element in elements]


def _refused(netns: Netns, error: OSError) -> CannotTraceError:
    cause = f"cannot mark packets with nf_tables in the network namespace of {netns.label}: {error.strerror}"
    if error.errno == errno.EPERM:
        return CannotTraceError(cause, "Run as root (CAP_NET_ADMIN is needed)")
    if error.errno in {errno.EOPNOTSUPP, errno.EINVAL, errno.EPROTONOSUPPORT}:
        return CannotTraceError(
            cause, "Use kernel 5.12 or newer with nf_tables (modprobe nf_tables): the table needs an owner"
        )
    return CannotTraceError(cause, "See the kernel's log (dmesg), and trace again")
