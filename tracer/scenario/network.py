"""Build the links, addresses and routes of a lab with pyroute2, each from inside its own namespace.

Every function here works in the calling thread's namespace, so it is meant for `tracer.netns.run_in`. An IPRoute is
opened once for each visit: pyroute2 keeps a socket for each thread, so it cannot be carried from one to another.
"""

from __future__ import annotations

import ipaddress
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from tracer.errors import CannotTraceError
from tracer.scenario import base_sysctls
from tracer.scenario.model import Neighbour, Route
from tracer.scenario.topology import Device, NetnsPlan, VethEnd

_IFA_F_NODAD = 0x02  # include/uapi/linux/if_addr.h
_NUD_PERMANENT = 0x80  # include/uapi/linux/neighbour.h
_RT_SCOPE_LINK = 253  # include/uapi/linux/rtnetlink.h
_CARRIER_SECONDS = 5.0
# The kernel takes a veth whose ends have the same ifindex, each in its own namespace, for a device without a peer, and
# sees to its carrier up to a second later (linkwatch_urgent_event in net/core/link_watch.c). Other ends count from 2.
_FIRST_INDEX = 1000


def create_veths(veths: tuple[tuple[VethEnd, VethEnd], ...], descriptors: Mapping[str, int]) -> None:
    """Create veths whose first end is here and whose other end is born in the namespace that it belongs to."""
    with _rtnetlink("create veths") as ip:
        for index, (here, there) in enumerate(veths, _FIRST_INDEX):
            peer = {"ifname": there.device, "address": there.mac, "net_ns_fd": descriptors[there.netns]}
            ip.link("add", index=index, ifname=here.device, kind="veth", address=here.mac, peer=peer)


def configure(netns: NetnsPlan) -> None:
    """Give the devices their bridges and addresses, set their sysctls, and bring them up."""
    with _rtnetlink(f"configure the devices of {netns.name}") as ip:
        for device in netns.devices:
            if device.kind == "bridge":
                _create_bridge(ip, device)
        indexes = _indexes(ip)
        base_sysctls.set_all(netns.device_sysctls)
        for device in netns.devices:
            index = indexes[device.name]
            if device.bridge is not None:
                ip.link("set", index=index, master=indexes[device.bridge])
            for address in device.addresses:
                _assign(ip, index, address)
            ip.link("set", index=index, state="up")
        ip.link("set", index=indexes["lo"], state="up")


def connect(netns: NetnsPlan) -> None:
    """Add the routes and neighbours, and return when every device has its carrier."""
    with _rtnetlink(f"add the routes of {netns.name}") as ip:
        indexes = _indexes(ip)
        for route in netns.routes:
            _route(ip, "add", route, indexes)
        for neighbour in netns.neighbours:
            _neighbour(ip, neighbour, indexes)
        _wait_until(lambda: _ready(ip, netns), f"the devices of {netns.name} got no carrier")


def change_route(command: str, route: Route) -> None:
    """Run `add` or `delete` for a route of the calling thread's namespace."""
    with _rtnetlink(f"{command} the route to {route.to}") as ip:
        _route(ip, command, route, _indexes(ip))


@contextmanager
def _rtnetlink(purpose: str) -> Iterator[IPRoute]:
    try:
        with IPRoute() as ip:
            yield ip
    except NetlinkError as error:
        raise CannotTraceError(
            f"cannot {purpose} ({error})",
            "Check what the scenario asks for; the kernel needs veth, and bridge where the scenario has one",
        ) from error


def _create_bridge(ip: IPRoute, device: Device) -> None:
    # Without spanning tree a port forwards at once; without snooping the bridge sends no queries of its own.
    ip.link("add", ifname=device.name, kind="bridge", address=device.mac, br_stp_state=0, br_mcast_snooping=0)


def _assign(ip: IPRoute, index: int, address: str) -> None:
    interface = ipaddress.ip_interface(address)
    nodad = {"flags": _IFA_F_NODAD} if interface.version == 6 else {}
    ip.addr("add", index=index, address=str(interface.ip), prefixlen=interface.network.prefixlen, **nodad)


def _route(ip: IPRoute, command: str, route: Route, indexes: Mapping[str, int]) -> None:
    network = ipaddress.ip_network(route.to)
    arguments: dict[str, Any] = {
        "dst": str(network),
        "family": socket.AF_INET if network.version == 4 else socket.AF_INET6,
        "type": route.kind,
    }
    if route.device is not None:
        arguments["oif"] = indexes[route.device]
    if route.via is not None:
        arguments["gateway"] = route.via
    elif route.device is not None and network.version == 4:
        arguments["scope"] = _RT_SCOPE_LINK
    ip.route(command, **arguments)


def _neighbour(ip: IPRoute, neighbour: Neighbour, indexes: Mapping[str, int]) -> None:
    family = socket.AF_INET if ipaddress.ip_address(neighbour.address).version == 4 else socket.AF_INET6
    ip.neigh(
        "add",
        dst=neighbour.address,
        lladdr=neighbour.mac,
        ifindex=indexes[neighbour.device],
        state=_NUD_PERMANENT,
        family=family,
    )


def _indexes(ip: IPRoute) -> dict[str, int]:
    return {message.get("ifname"): message["index"] for message in ip.get_links()}


def _ready(ip: IPRoute, netns: NetnsPlan) -> bool:
    """Tell whether every device has a carrier and a queue; before that it drops all (dev_activate in sch_generic.c)."""
    links = {message.get("ifname"): message for message in ip.get_links()}
    return all(
        links[device.name].get("carrier") == 1 and links[device.name].get("qdisc") != "noop" for device in netns.devices
    )


def _wait_until(condition: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + _CARRIER_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise CannotTraceError(otherwise, "Run the scenario again; this machine may be overloaded")
        time.sleep(0.001)
