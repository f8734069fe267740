"""Describe both ends of a flow: the devices that the packet passes there, and those that are to be watched."""

from __future__ import annotations

from pyroute2 import IPRoute

from tracer.endpoints.links import Route, read_link
from tracer.endpoints.locate import Elsewhere, Here
from tracer.endpoints.model import Device, End, LocalEnd
from tracer.endpoints.pods import Pod
from tracer.netns import Netns, run_in


def source_end(place: Here, address: str, out: Route) -> LocalEnd:
    """Return the end that sends from `address` by the route `out`."""
    if place.pod is None:
        return LocalEnd(place.label, place.netns, address, _device(place.netns, out.index), None)
    return _pod_end(place, place.pod, address, out.index)


def destination_end(place: Here, address: str, back: Route) -> LocalEnd:
    """Return the end that receives at `address` and answers by the route `back`."""
    if place.pod is None:
        return LocalEnd(place.label, place.netns, address, _device(place.netns, back.index), None)
    holder = next((held.index for held in place.pod.addresses if held.address == address), back.index)
    # An address on the loopback device is reached through another one.
    return _pod_end(place, place.pod, address, holder if holder in place.pod.host_ends else back.index)


def remote_end(place: Elsewhere, node: Netns, route: Route) -> End:
    """Return the end that the node reaches by `route`."""
    return End(place.label, None, place.address, None, _device(node, route.index))


def devices_on_the_way(start: Here, first: End, end: Here | Elsewhere, last: End) -> tuple[Device, ...]:
    """Return the devices to watch, in the order of the request's way.

    All of a pod's veths are among them, as the answer need not come by the one that the request took. Bridges
    are not: a port sees our packets, the bridge those of all its pods.
    """
    outward = [first.device, first.host_device, *_other_veths(start)]
    inward = [*reversed(_other_veths(end)), last.host_device, last.device]
    bridges = {first.bridge, last.bridge}
    return tuple(dict.fromkeys(device for device in (*outward, *inward) if device and device not in bridges))


def blind_spots(first: End, last: End) -> tuple[str, ...]:
    """Return a sentence for each pod whose device does not lead to the node, so that it is seen there alone."""
    return tuple(
        f"{end.device.name} of {end.label} is no veth that ends in the node: between them the packet is not seen"
        for end in (first, last)
        if end.device and end.netns and end.netns.label != "node" and end.host_device is None
    )


def _pod_end(place: Here, pod: Pod, address: str, index: int) -> LocalEnd:
    host = pod.host_ends.get(index)
    return LocalEnd(
        place.label,
        place.netns,
        address,
        pod.device(index),
        host.device if host else None,
        host.bridge if host else None,
    )


def _device(netns: Netns, index: int) -> Device | None:
    def look() -> Device | None:
        with IPRoute() as ip:
            link = read_link(ip, index)
        return Device(netns, link.name, link.index) if link else None

    return run_in(netns, look)


def _other_veths(place: Here | Elsewhere) -> list[Device]:
    if isinstance(place, Elsewhere) or place.pod is None:
        return []
    ends = place.pod.host_ends.items()
    pairs = ((place.pod.device(index), end.device) for index, end in ends)
    return [device for pair in pairs for device in pair if device]
