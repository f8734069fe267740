"""Pods as the node sees them: namespaces with one end of a veth, whose other end is in the node."""

from __future__ import annotations

from dataclasses import dataclass

from pyroute2 import IPRoute

from tracer.endpoints.links import (
    PAIRED_KINDS,
    InterfaceAddress,
    Link,
    read_addresses,
    read_link,
    read_links,
    read_nsid,
)
from tracer.endpoints.model import Candidate, Device, HostEnd
from tracer.endpoints.namespaces import list_namespaces, namespaces_holding
from tracer.errors import CannotTraceError
from tracer.netns import Netns, run_in
from tracer.packet import IpFamily

MOST_CANDIDATES = 256


@dataclass(frozen=True)
class Pod:
    """A namespace's devices and addresses; `host_ends` has the ends in the node, by the device's ifindex."""

    netns: Netns
    links: tuple[Link, ...]
    addresses: tuple[InterfaceAddress, ...]
    host_ends: dict[int, HostEnd]

    def device(self, index: int) -> Device | None:
        """Return the device with that ifindex."""
        return next((Device(self.netns, link.name, index) for link in self.links if link.index == index), None)

    def usable(self, family: IpFamily) -> tuple[InterfaceAddress, ...]:
        """Return the addresses of one family, those on devices which lead to the node first."""
        ours = (address for address in self.addresses if address.family == family)
        return tuple(sorted(ours, key=lambda a: (a.index not in self.host_ends, a.index)))


def read_pod(netns: Netns, node: Netns) -> Pod:
    """Return the devices and addresses of `netns`, and where in `node` its veths end."""

    def look() -> tuple[tuple[Link, ...], tuple[InterfaceAddress, ...]]:
        with IPRoute() as ip:
            return read_links(ip), read_addresses(ip)

    links, addresses = run_in(netns, look)
    return Pod(netns, links, addresses, _host_ends(netns, links, node))


def find_pod(address: str, node: Netns, known: tuple[Netns, ...]) -> Pod | None:
    """Return the pod of this node that holds `address`, None when no namespace behind a veth of it does."""
    for netns in namespaces_holding(address, node, known):
        try:
            pod = read_pod(netns, node)
        except CannotTraceError:  # it ended since it was listed
            continue
        if pod.host_ends and any(address == held.address for held in pod.addresses):
            return pod
    return None


def find_candidates(node: Netns, known: frozenset[int]) -> tuple[tuple[Candidate, ...], int]:
    """Return the node's veths whose other end is in another namespace, and how many are past the bound.

    `known` are ifindexes to leave out.
    """

    def look() -> tuple[Link, ...]:
        with IPRoute() as ip:
            return read_links(ip)

    found = [
        Candidate(Device(node, link.name, link.index), link.peer_index, link.peer_nsid)
        for link in run_in(node, look)
        if link.kind in PAIRED_KINDS and link.index not in known
        if link.peer_index is not None and link.peer_nsid is not None
    ]
    return tuple(found[:MOST_CANDIDATES]), max(0, len(found) - MOST_CANDIDATES)


def peer_namespaces(node: Netns, candidates: tuple[Candidate, ...], known: tuple[Netns, ...] = ()) -> dict[int, Netns]:
    """Return the namespaces that hold the candidates' other ends, by the number which the node gave them.

    `known` are looked at beside those that have a name or a process.
    """
    wanted = {candidate.peer_nsid for candidate in candidates}

    def look() -> dict[int, Netns]:
        found = {}
        with IPRoute() as ip:
            for netns in list_namespaces(known):
                try:
                    nsid = read_nsid(ip, netns)
                except CannotTraceError:  # it ended since it was listed
                    continue
                if nsid in wanted:
                    found[nsid] = netns
        return found

    return run_in(node, look)


def _host_ends(netns: Netns, links: tuple[Link, ...], node: Netns) -> dict[int, HostEnd]:
    paired = [link for link in links if link.kind in PAIRED_KINDS and link.peer_nsid is not None]

    def look() -> dict[int, HostEnd]:
        with IPRoute() as ip:
            nsid = read_nsid(ip, netns)
            ends = ((link.index, _host_end(ip, node, link, nsid)) for link in paired)
            return {index: end for index, end in ends if end}

    return run_in(node, look) if paired else {}


def _host_end(ip: IPRoute, node: Netns, link: Link, nsid: int | None) -> HostEnd | None:
    """Return the node's end of the pod's `link`, None when that end is in some other namespace.

    An ifindex is unique in its namespace only, so each end has to name the other, and the other's namespace.
    """
    end = read_link(ip, link.peer_index) if link.peer_index is not None else None
    if end is None or end.kind not in PAIRED_KINDS or (end.peer_index, end.peer_nsid) != (link.index, nsid):
        return None
    master = read_link(ip, end.master) if end.master is not None else None
    bridge = Device(node, master.name, master.index) if master and master.kind == "bridge" else None
    return HostEnd(Device(node, end.name, end.index), bridge)
