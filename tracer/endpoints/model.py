"""Endpoints as written by the user, and the flow between two of them as the kernel would route it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from tracer.netns import Netns
from tracer.packet import IpFamily

Protocol: TypeAlias = Literal["icmp", "udp", "tcp", "dns"]


@dataclass(frozen=True)
class NodeEndpoint:
    """The node itself."""

    label: str = "node"


@dataclass(frozen=True)
class NetnsEndpoint:
    """A network namespace by the path that it opens from."""

    label: str
    path: str


@dataclass(frozen=True)
class ProcessEndpoint:
    """The network namespace of a process, by its pid in our own pid namespace."""

    label: str
    pid: int


@dataclass(frozen=True)
class AddressEndpoint:
    """An IP address in canonical form, wherever it is."""

    label: str
    address: str
    family: IpFamily


Endpoint: TypeAlias = NodeEndpoint | NetnsEndpoint | ProcessEndpoint | AddressEndpoint


@dataclass(frozen=True)
class Device:
    """A network device: the namespace that it is in, its name there (printable) and its ifindex there."""

    netns: Netns
    name: str
    index: int


@dataclass(frozen=True)
class HostEnd:
    """The node's end of a pod's veth, and the bridge that it is a port of, if any."""

    device: Device
    bridge: Device | None = None


@dataclass(frozen=True)
class End:
    """One end of a flow.

    `netns` and `device` are None for an address that is neither on the node nor in one of its pods. `device`
    is what the packet leaves or reaches this end through. `host_device` is the other end of it in the node: a
    pod's host-side veth, or the node's own device towards an address that is elsewhere. `bridge` is the one
    that the host-side veth is a port of.
    """

    label: str
    netns: Netns | None
    address: str
    device: Device | None
    host_device: Device | None
    bridge: Device | None = None


@dataclass(frozen=True)
class LocalEnd(End):
    """An end in the node or in one of its pods."""

    netns: Netns


@dataclass(frozen=True)
class Candidate:
    """A veth of the node behind which the packet may turn up once it is translated.

    `peer_index` is the other end's ifindex in the namespace that the node knows by `peer_nsid`.
    """

    device: Device
    peer_index: int
    peer_nsid: int


@dataclass(frozen=True)
class ResolvedFlow:
    """Where the probe starts and ends, and every device that it should pass and that is to be watched.

    `port` is the destination's, None for ICMP. `devices` are in the order of the request's way. `candidates`
    are the node's other veths, when the destination is elsewhere as far as routes tell (a service's address
    is translated to a pod's); `candidates_left_out` counts those past the bound. `notes` say what cannot be
    watched.
    """

    protocol: Protocol
    port: int | None
    family: IpFamily
    node: Netns
    source: LocalEnd
    destination: End
    devices: tuple[Device, ...]
    candidates: tuple[Candidate, ...] = ()
    candidates_left_out: int = 0
    notes: tuple[str, ...] = ()
