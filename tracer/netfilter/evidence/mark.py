"""Set nf_trace on one probe's packets, by a table of nf_tables that goes when we do.

The table belongs to our netlink socket (NFT_TABLE_F_OWNER, kernel 5.12): nobody else can change it, `nft flush
ruleset` leaves it alone, and it goes with the socket, also after kill -9 (nft_rcv_nl_event,
net/netfilter/nf_tables_api.c). The bit does not survive the way into another namespace: mark in each.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType

from pyroute2.netlink import NLM_F_DUMP
from pyroute2.netlink.nfnetlink import nftsocket as nft

from tracer.errors import CannotTraceError
from tracer.events import Leg
from tracer.netfilter.evidence import nfnetlink
from tracer.netfilter.evidence.signature import ProbeMark
from tracer.netfilter.evidence.table import answers_request, noted_leg, table_batch, table_name
from tracer.netfilter.evidence.wire import nft_encoded_rule
from tracer.netns import Netns, run_in


@dataclass(frozen=True)
class MarkRule:
    """Where a rule of ours stands, and which leg's packets it marks."""

    hook: str
    leg: Leg


class Mark:
    """The table that marks one probe's packets in one namespace; it goes when this closes.

    `table` is its name, `rules` are its marking rules by their handles.
    """

    def __init__(self, probe: ProbeMark, rules: Mapping[int, MarkRule], owner: socket.socket) -> None:
        """Take over `owner`, the socket that the table belongs to."""
        self.probe = probe
        self.table = table_name(probe)
        self.rules = rules
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

    def answers(self) -> frozenset[bytes]:
        """Return the keys of the set of answers: where replies to the UDP request come from and go to."""
        if self.probe.protocol != "udp":
            return frozenset()
        dump = nfnetlink.request(self._owner, [answers_request(self.probe, NLM_F_DUMP)])
        return frozenset(key for message in dump for key in _keys(message))


def mark_flow(netns: Netns, probe: ProbeMark) -> Mark:
    """Set nf_trace in `netns` on the packets of `probe`, request and reply, until the mark closes.

    Raise CannotTraceError where the kernel has no nf_tables, no tables with an owner, or refuses us.
    """
    try:
        return run_in(netns, lambda: _mark(probe))
    except OSError as error:
        raise _refused(netns, error) from error


def _mark(probe: ProbeMark) -> Mark:
    owner = nfnetlink.open_socket()
    try:
        echoes = nfnetlink.request(owner, [table_batch(probe)])
    except OSError:
        owner.close()
        raise
    return Mark(probe, dict(_mark_rule(echo) for echo in echoes), owner)


def _mark_rule(echo: bytes) -> tuple[int, MarkRule]:
    message = nft_encoded_rule(echo)
    message.decode()
    hook = message.get_attr("NFTA_RULE_CHAIN").upper()
    leg = noted_leg(message.get_attr("NFTA_RULE_USERDATA"))
    return message.get_attr("NFTA_RULE_HANDLE"), MarkRule(hook, leg)


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
