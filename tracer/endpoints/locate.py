"""Find out where an endpoint is: in the node, in one of its pods, or elsewhere."""

from __future__ import annotations

from dataclasses import dataclass

from pyroute2 import IPRoute

from tracer.endpoints.links import NoRouteError, has_address, read_route
from tracer.endpoints.model import AddressEndpoint, Endpoint, NodeEndpoint
from tracer.endpoints.namespaces import endpoint_namespace
from tracer.endpoints.pods import Pod, find_pod, read_pod
from tracer.netns import Netns, run_in
from tracer.packet import IpFamily


@dataclass(frozen=True)
class Here:
    """An endpoint in the node, or in `pod`; `address` is the one that was given, if any was."""

    label: str
    netns: Netns
    address: str | None = None
    pod: Pod | None = None


@dataclass(frozen=True)
class Elsewhere:
    """An address that is not on this node: another machine's, or one that is translated, as a service's is."""

    label: str
    address: str


def locate(endpoint: Endpoint, node: Netns, known: tuple[Netns, ...]) -> Here | Elsewhere:
    """Return where `endpoint` is as seen from `node`; raise UsageError when it names no namespace.

    An address may also be in one of the namespaces `known`.
    """
    if isinstance(endpoint, NodeEndpoint):
        return Here(endpoint.label, node)
    if isinstance(endpoint, AddressEndpoint):
        return _locate_address(endpoint, node, known)
    netns = endpoint_namespace(endpoint, node)
    return Here(endpoint.label, netns, pod=None if netns == node else read_pod(netns, node))


def has_family(place: Here | Elsewhere, family: IpFamily) -> bool:
    """Tell whether `place` has an address of that family which others can reach."""
    if place.address:
        return (":" in place.address) == (family == 6)
    if isinstance(place, Here) and place.pod:
        return bool(place.pod.usable(family))

    def look() -> bool:
        with IPRoute() as ip:
            return has_address(ip, family)

    return isinstance(place, Here) and run_in(place.netns, look)


def first_address(place: Here, family: IpFamily) -> str | None:
    """Return the address that was given, or the pod's first; None for the node, whose routes decide."""
    if place.address or place.pod is None:
        return place.address
    return place.pod.usable(family)[0].address


def _locate_address(endpoint: AddressEndpoint, node: Netns, known: tuple[Netns, ...]) -> Here | Elsewhere:
    if _is_local(endpoint.address, node):
        return Here(endpoint.label, node, endpoint.address)
    pod = find_pod(endpoint.address, node, known)
    if pod is None:
        return Elsewhere(endpoint.label, endpoint.address)
    return Here(endpoint.label, pod.netns, endpoint.address, pod)


def _is_local(address: str, netns: Netns) -> bool:
    def look() -> bool:
        with IPRoute() as ip:
            try:
                return read_route(ip, address).local
            except NoRouteError:  # no route leads there, so it is not local either
                return False

    return run_in(netns, look)
