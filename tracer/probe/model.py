"""The probe and its answers, as plain data."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal, TypeAlias

from tracer.endpoints.model import Protocol, ResolvedFlow
from tracer.packet import IpFamily

AnswerKind: TypeAlias = Literal["reply", "syn_ack", "rst", "icmp_error"]

TOKEN_BYTES = 16


def new_token() -> bytes:
    """Return the random bytes that mark a probe."""
    return os.urandom(TOKEN_BYTES)


@dataclass(frozen=True)
class Probe:
    """One packet of ours, complete from its network header, and what tells it from every other.

    All numbers in it are taken from `token`, which the packet carries whole where the protocol has room: first
    in the payload of an ICMP echo and of a UDP datagram, in hexadecimal as the first label of a DNS question.
    `source_port` and `port` are None for ICMP.
    """

    protocol: Protocol
    family: IpFamily
    token: bytes
    source: str
    destination: str
    source_port: int | None
    port: int | None
    packet: bytes = b""

    @property
    def tcp_sequence(self) -> int:
        """The SYN's sequence number: an answer acknowledges the one after it."""
        return int.from_bytes(self.token[0:4], "big")

    @property
    def icmp_id(self) -> int:
        """The identifier of the echo request and of its reply."""
        return int.from_bytes(self.token[4:6], "big")

    @property
    def icmp_sequence(self) -> int:
        """The sequence number of the echo request and of its reply."""
        return int.from_bytes(self.token[6:8], "big")

    @property
    def dns_id(self) -> int:
        """The identifier of the query and of its response."""
        return int.from_bytes(self.token[8:10], "big")

    @property
    def ip_id(self) -> int:
        """The identification in an IPv4 header; the kernel would put its own in place of 0 (raw(7))."""
        return int.from_bytes(self.token[10:12], "big") or 1

    @property
    def dns_name(self) -> str:
        """The name that is asked for.

        A cluster's DNS server is the authority for `cluster.local`, so it says at once that there is no such name
        and asks nobody; where the cluster's domain is another, `.local` still belongs to no server on the
        internet (RFC 6762, 3). The token comes first, at the same offset in every query and response.
        """
        return f"{self.token.hex()}.svc.cluster.local."


def probe_for(flow: ResolvedFlow, token: bytes, source_port: int | None) -> Probe:
    """Return the probe for `flow` without its packet yet."""
    return Probe(
        flow.protocol, flow.family, token, flow.source.address, flow.destination.address, source_port, flow.port
    )


@dataclass(frozen=True)
class Answer:
    """A packet that came back for the probe: from the socket at `at_ns` (CLOCK_MONOTONIC), sent by `address`.

    `packet` starts at the network header. That header is rebuilt from what the kernel tells of it where the
    socket does not hand it out: for UDP and for all of IPv6 (RFC 3542).
    """

    kind: AnswerKind
    address: str
    packet: bytes
    at_ns: int
