"""Resolve a flow: the addresses and devices that a packet between two endpoints uses, as the kernel routes it."""

from __future__ import annotations

from pyroute2 import IPRoute

from tracer.endpoints.ends import (
    blind_spots,
    destination_end,
    devices_on_the_way,
    remote_end,
    source_end,
)
from tracer.endpoints.links import NoRouteError, Route, read_route
from tracer.endpoints.locate import Elsewhere, Here, first_address, has_family, locate
from tracer.endpoints.model import Candidate, Device, End, Endpoint, NodeEndpoint, Protocol, ResolvedFlow
from tracer.endpoints.namespaces import node_namespace
from tracer.endpoints.parse import choose_port
from tracer.endpoints.pods import find_candidates
from tracer.errors import UsageError
from tracer.netns import Netns, run_in
from tracer.packet import IpFamily

_NODE = NodeEndpoint()


def resolve_flow(
    source: Endpoint,
    destination: Endpoint,
    *,
    protocol: Protocol,
    port: int | None = None,
    family: IpFamily | None = None,
    node: Endpoint = _NODE,
    known: tuple[Netns, ...] = (),
) -> ResolvedFlow:
    """Return where the flow starts and ends and what it passes; `family` is chosen when it is None.

    `known` are namespaces in which an address is looked for beside those that have a name or a process.
    Raise UsageError when an endpoint does not exist or the flow makes no sense, CannotTraceError when we may
    not look or a namespace ends meanwhile.
    """
    port = choose_port(protocol, port)
    here = node_namespace(node)
    start = _locate_source(source, here, known)
    end = locate(destination, here, (start.netns, *known))  # it may be the source's, which need not have a name
    _refuse_same(start, end)
    family = _choose_family(start, end, family)
    target = _choose_target(start, end, family)
    origin = start.address or _own_address(start, target)
    first = source_end(start, origin, _route(start, target, origin))
    last = _far_end(end, target, origin, here)
    devices = devices_on_the_way(start, first, end, last)
    candidates, left_out = _candidates(last, devices, here)
    return ResolvedFlow(
        protocol,
        port,
        family,
        here,
        first,
        last,
        devices,
        candidates,
        left_out,
        blind_spots(first, last),
    )


def _locate_source(source: Endpoint, node: Netns, known: tuple[Netns, ...]) -> Here:
    start = locate(source, node, known)
    if isinstance(start, Elsewhere):
        raise UsageError(
            f"{start.label} is neither an address of the node nor of a pod behind one of its veths",
            "A probe starts on this machine: name the source as `node`, `netns:NAME` or `pid:N`",
        )
    return start


def _refuse_same(start: Here, end: Here | Elsewhere) -> None:
    if isinstance(end, Here) and start.netns.inum == end.netns.inum:
        both = start.label if start.label == end.label else f"{start.label} and {end.label}"
        raise UsageError(
            f"source and destination are in one network namespace: {both}",
            "Name two ends in different ones",
        )


def _choose_family(start: Here, end: Here | Elsewhere, wanted: IpFamily | None) -> IpFamily:
    families: tuple[IpFamily, ...] = (wanted,) if wanted else (4, 6)
    for family in families:
        if has_family(start, family) and has_family(end, family):
            return family
    if wanted:
        lacking = end if has_family(start, wanted) else start
        raise UsageError(
            f"{lacking.label} has no IPv{wanted} address that others can reach",
            "Give it one, or trace over the other family",
        )
    raise UsageError(
        f"{start.label} and {end.label} have no address family in common",
        "Both need an IPv4 address, or both an IPv6 one that is not link-local: see `ip address`",
    )


def _choose_target(start: Here, end: Here | Elsewhere, family: IpFamily) -> str:
    """Return the destination's address: the one that was given, or that it would speak to the source from."""
    if isinstance(end, Elsewhere):
        return end.address
    if end.address:
        return end.address
    held = end.pod.usable(family) if end.pod else ()
    if len(held) == 1:
        return held[0].address
    # One end at most is the node, so one of the two always has an address to begin with.
    return _own_address(end, first_address(start, family) or _own_address(start, held[0].address))


def _own_address(place: Here, target: str) -> str:
    """Return the address from which `place` would speak to `target`."""
    source = _route(place, target).source
    if source is None:
        raise UsageError(
            f"{place.label} has no address from which to reach {target}",
            "Give it one of that family, or name another address as the other end",
        )
    return source


def _far_end(end: Here | Elsewhere, target: str, origin: str, node: Netns) -> End:
    if isinstance(end, Elsewhere):
        return remote_end(end, node, _route(Here("node", node), target))
    return destination_end(end, target, _route(end, origin, target, way="back "))


def _candidates(last: End, devices: tuple[Device, ...], node: Netns) -> tuple[tuple[Candidate, ...], int]:
    if last.netns:
        return (), 0
    return find_candidates(node, frozenset(device.index for device in devices if device.netns == node))


def _route(place: Here, target: str, source: str | None = None, way: str = "") -> Route:
    def look() -> Route:
        with IPRoute() as ip:
            return read_route(ip, target, source)

    try:
        return run_in(place.netns, look)
    except NoRouteError as error:
        raise UsageError(
            f"there is no route {way}from {place.label} to {target} ({error})",
            "Add one, or name an address that it can reach: `ip route get` in that namespace shows the same",
        ) from error
