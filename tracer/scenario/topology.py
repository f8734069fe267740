"""From a scenario to what each namespace holds: devices, addresses, routes, sysctls and open ports.

Pure: nothing here asks or changes the machine, so that a recorded scenario can be drawn and checked without root.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from tracer.scenario.model import (
    BridgedWiring,
    CalicoWiring,
    Namespace,
    Neighbour,
    Node,
    Pod,
    Route,
    RoutedWiring,
    Scenario,
    namespaces,
)
from tracer.sysctl import path_of

IpVersion: TypeAlias = Literal[4, 6]

# What Calico's CNI plugin gives the host's end of every pod's veth, and the gateway it tells the pod.
CALICO_MAC = "ee:ee:ee:ee:ee:ee"
CALICO_GATEWAY = "169.254.1.1"
_ANY = {4: "0.0.0.0/0", 6: "::/0"}


@dataclass(frozen=True)
class Device:
    """A device, its addresses with prefix length, and the bridge it is a port of."""

    name: str
    kind: Literal["veth", "bridge"]
    mac: str
    addresses: tuple[str, ...] = ()
    bridge: str | None = None


@dataclass(frozen=True)
class Listener:
    """A port that answers."""

    protocol: Literal["udp", "tcp", "dns"]
    address: str
    port: int


@dataclass(frozen=True)
class NetnsPlan:
    """What one namespace holds; `device_sysctls` name one of its devices and can be set once that exists."""

    name: str
    devices: tuple[Device, ...]
    routes: tuple[Route, ...]
    neighbours: tuple[Neighbour, ...]
    sysctls: tuple[tuple[str, str | int], ...]
    device_sysctls: tuple[tuple[str, str | int], ...]
    listeners: tuple[Listener, ...]

    def addresses(self, version: IpVersion) -> tuple[str, ...]:
        """Return the namespace's own addresses of one version, link-local ones left out."""
        return _own_addresses(self.devices, version)


@dataclass(frozen=True)
class VethEnd:
    """One end of a veth: in which namespace, under which name, with which address."""

    netns: str
    device: str
    mac: str


@dataclass(frozen=True)
class Topology:
    """All namespaces of a lab and the veths between them."""

    netnses: tuple[NetnsPlan, ...]
    veths: tuple[tuple[VethEnd, VethEnd], ...]


def plan(scenario: Scenario) -> Topology:
    """Return what a checked scenario's namespaces hold."""
    return Topology(
        netnses=tuple(_netns_plan(scenario, namespace) for namespace in namespaces(scenario)),
        veths=tuple(_veths(scenario)),
    )


def ip_version(text: str) -> IpVersion:
    """Return 4 or 6 for an address or network, with or without a prefix length."""
    return 4 if ipaddress.ip_interface(text).version == 4 else 6


def _veths(scenario: Scenario) -> Iterator[tuple[VethEnd, VethEnd]]:
    for pod in scenario.pods:
        yield (
            VethEnd(pod.node, pod.host_device, _host_mac(pod)),
            VethEnd(pod.name, pod.device, _mac(pod.name, pod.device)),
        )
    for link in scenario.links:
        first, second = (VethEnd(end.netns, end.device, _mac(end.netns, end.device)) for end in link.ends)
        yield first, second


def _netns_plan(scenario: Scenario, namespace: Namespace) -> NetnsPlan:
    pods = tuple(pod for pod in scenario.pods if pod.node == namespace.name)
    devices = tuple(_devices(scenario, namespace, pods))
    settings = {**_derived_sysctls(devices, pods), **namespace.sysctls}
    names = {device.name for device in devices}
    per_device = {key: value for key, value in settings.items() if names.intersection(path_of(key).parts)}
    return NetnsPlan(
        name=namespace.name,
        devices=devices,
        routes=(*_pod_routes(scenario, namespace), *_routes_to_pods(pods), *namespace.routes),
        neighbours=namespace.neighbours,
        sysctls=tuple((key, value) for key, value in settings.items() if key not in per_device),
        device_sysctls=tuple(per_device.items()),
        listeners=tuple(_listeners(namespace, devices)),
    )


def _devices(scenario: Scenario, namespace: Namespace, pods: tuple[Pod, ...]) -> Iterator[Device]:
    """Yield the namespace's devices, bridges after the ports that they get."""
    for link in scenario.links:
        for end in link.ends:
            if end.netns == namespace.name:
                yield _device(namespace.name, end.device, end.addresses)
    for pod in pods:
        yield _host_device(pod)
    if isinstance(namespace, Pod):
        yield _device(namespace.name, namespace.device, _pod_addresses(namespace))
    if isinstance(namespace, Node):
        for bridge in namespace.bridges:
            yield _device(namespace.name, bridge.device, bridge.addresses, kind="bridge")


def _device(netns: str, name: str, addresses: tuple[str, ...], kind: Literal["veth", "bridge"] = "veth") -> Device:
    mac = _mac(netns, name)
    return Device(name, kind, mac, _with_link_local(addresses, mac))


def _host_device(pod: Pod) -> Device:
    addresses: tuple[str, ...] = ()
    bridge = None
    if isinstance(pod.wiring, RoutedWiring):
        addresses = tuple(f"{gateway}/{_bits(gateway)}" for gateway in pod.wiring.gateways)
    if isinstance(pod.wiring, BridgedWiring):
        bridge = pod.wiring.bridge
    if isinstance(pod.wiring, CalicoWiring) and 6 in _versions(pod):
        addresses = (_link_local(CALICO_MAC),)
    mac = _host_mac(pod)
    return Device(pod.host_device, "veth", mac, _with_link_local(addresses, mac), bridge)


def _pod_addresses(pod: Pod) -> tuple[str, ...]:
    # A routed pod reaches its own subnet through the gateway too, so its addresses are without the subnet.
    if isinstance(pod.wiring, BridgedWiring):
        return pod.addresses
    return tuple(f"{ipaddress.ip_interface(text).ip}/{_bits(text)}" for text in pod.addresses)


def _pod_routes(scenario: Scenario, namespace: Namespace) -> Iterator[Route]:
    """Yield a pod's routes to its gateway and, through it, to everything."""
    if not isinstance(namespace, Pod):
        return
    for gateway in _gateways(scenario, namespace):
        version = ip_version(gateway)
        if version not in _versions(namespace):
            continue
        on_link = version == 6 and ipaddress.ip_address(gateway).is_link_local
        if not on_link and not isinstance(namespace.wiring, BridgedWiring):
            yield Route(to=f"{gateway}/{_bits(gateway)}", device=namespace.device)
        yield Route(to=_ANY[version], via=gateway, device=namespace.device)


def _gateways(scenario: Scenario, pod: Pod) -> tuple[str, ...]:
    if isinstance(pod.wiring, CalicoWiring):
        return CALICO_GATEWAY, str(ipaddress.ip_interface(_link_local(CALICO_MAC)).ip)
    if isinstance(pod.wiring, RoutedWiring):
        return pod.wiring.gateways
    (node,) = (node for node in scenario.nodes if node.name == pod.node)
    name = pod.wiring.bridge
    addresses = (address for bridge in node.bridges if bridge.device == name for address in bridge.addresses)
    return tuple(str(ipaddress.ip_interface(address).ip) for address in addresses)


def _routes_to_pods(pods: tuple[Pod, ...]) -> Iterator[Route]:
    for pod in pods:
        if isinstance(pod.wiring, BridgedWiring):
            continue
        for address in _pod_addresses(pod):
            yield Route(to=address, device=pod.host_device)


def _derived_sysctls(devices: tuple[Device, ...], pods: tuple[Pod, ...]) -> dict[str, str | int]:
    """Return what follows from the wiring: IPv6 on where it is used, and what Felix sets for each pod.

    Felix writes these for every workload interface (felix/dataplane/linux/endpoint_mgr.go).
    """
    settings: dict[str, str | int] = {}
    if any(ip_version(address) == 6 for device in devices for address in device.addresses):
        settings |= {f"net.ipv6.conf.{which}.disable_ipv6": 0 for which in ("all", "default")}
    for pod in pods:
        if not isinstance(pod.wiring, CalicoWiring):
            continue
        ipv4, ipv6 = f"net/ipv4/conf/{pod.host_device}", f"net/ipv6/conf/{pod.host_device}"
        if 4 in _versions(pod):
            settings |= {f"{ipv4}/{key}": 1 for key in ("forwarding", "proxy_arp", "route_localnet", "rp_filter")}
            settings |= {f"net/ipv4/neigh/{pod.host_device}/proxy_delay": 0}
        if 6 in _versions(pod):
            settings |= {f"{ipv6}/{key}": 1 for key in ("forwarding", "proxy_ndp")}
    return settings


def _listeners(namespace: Namespace, devices: tuple[Device, ...]) -> Iterator[Listener]:
    everywhere = (*_own_addresses(devices, 4), *_own_addresses(devices, 6))
    for service in namespace.services:
        for address in (service.address,) if service.address else everywhere:
            yield Listener(service.protocol, address, service.port)


def _own_addresses(devices: tuple[Device, ...], version: IpVersion) -> tuple[str, ...]:
    assigned = (ipaddress.ip_interface(text).ip for device in devices for text in device.addresses)
    own = (str(ip) for ip in assigned if ip.version == version and not ip.is_link_local)
    return tuple(dict.fromkeys(own))  # a routed gateway stands on the veth of each pod


def _versions(pod: Pod) -> set[int]:
    return {ip_version(address) for address in pod.addresses}


def _bits(address: str) -> int:
    return 32 if ip_version(address) == 4 else 128


def _host_mac(pod: Pod) -> str:
    return CALICO_MAC if isinstance(pod.wiring, CalicoWiring) else _mac(pod.node, pod.host_device)


def _mac(netns: str, device: str) -> str:
    """Return a locally administered unicast address that is the same each time the lab is built."""
    digest = hashlib.sha256(f"{netns}/{device}".encode()).digest()
    return ":".join(f"{byte:02x}" for byte in (0x02, *digest[:5]))


def _with_link_local(addresses: tuple[str, ...], mac: str) -> tuple[str, ...]:
    """Add the link-local address without which a device cannot ask for IPv6 neighbours (RFC 4861)."""
    interfaces = [ipaddress.ip_interface(address) for address in addresses]
    ipv6 = [interface for interface in interfaces if interface.version == 6]
    if not ipv6 or any(interface.is_link_local for interface in ipv6):
        return addresses
    return (*addresses, _link_local(mac))


def _link_local(mac: str) -> str:
    """Return the link-local address of a MAC address (RFC 4291, appendix A)."""
    octets = [int(octet, 16) for octet in mac.split(":")]
    identifier = bytes([octets[0] ^ 2, *octets[1:3], 0xFF, 0xFE, *octets[3:]])
    return f"{ipaddress.IPv6Address(bytes([0xFE, 0x80, *bytes(6)]) + identifier)}/64"
