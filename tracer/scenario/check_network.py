"""Whether a scenario's devices, addresses, routes and services fit together."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from tracer.scenario.model import (
    BridgedWiring,
    Namespace,
    Node,
    Pod,
    Route,
    RoutedWiring,
    Scenario,
    namespaces,
)
from tracer.scenario.problem import Problem, repeated, unknown
from tracer.sysctl import path_of


def network_problems(scenario: Scenario) -> Iterator[Problem]:
    """Yield what is wrong with the network that a decoded scenario describes."""
    yield from _references(scenario)
    yield from _devices(scenario)
    yield from _addresses(scenario)
    for path, namespace in namespace_paths(scenario):
        yield from _namespace(scenario, namespace, path)


def namespace_paths(scenario: Scenario) -> Iterator[tuple[str, Namespace]]:
    """Yield each namespace with its key path."""
    for key in ("nodes", "pods", "hosts"):
        for number, namespace in enumerate(getattr(scenario, key)):
            yield f"{key}[{number}]", namespace


def _references(scenario: Scenario) -> Iterator[Problem]:
    nodes = {node.name: node for node in scenario.nodes}
    for number, pod in enumerate(scenario.pods):
        if pod.node not in nodes:
            yield unknown(f"pods[{number}].node", pod.node, nodes)
        elif isinstance(pod.wiring, BridgedWiring):
            bridges = {bridge.device for bridge in nodes[pod.node].bridges}
            if pod.wiring.bridge not in bridges:
                yield unknown(f"pods[{number}].wiring.bridge", pod.wiring.bridge, bridges)
    known = {namespace.name for namespace in namespaces(scenario)}
    for number, link in enumerate(scenario.links):
        for end, which in zip(link.ends, (0, 1), strict=True):
            if end.netns not in known:
                yield unknown(f"links[{number}].ends[{which}].netns", end.netns, known)


def _device_paths(scenario: Scenario) -> Iterator[tuple[str, str, str]]:
    for number, node in enumerate(scenario.nodes):
        for which, bridge in enumerate(node.bridges):
            yield f"nodes[{number}].bridges[{which}].device", node.name, bridge.device
    for number, pod in enumerate(scenario.pods):
        yield f"pods[{number}].device", pod.name, pod.device
        yield f"pods[{number}].host_device", pod.node, pod.host_device
    for number, link in enumerate(scenario.links):
        for which, end in enumerate(link.ends):
            yield f"links[{number}].ends[{which}].device", end.netns, end.device


def _devices(scenario: Scenario) -> Iterator[Problem]:
    for path, _, device in _device_paths(scenario):
        if device in {"lo", "all", "default"}:
            yield Problem(path, f"a device cannot be called {device}", "Give it another name")
    yield from repeated(
        ((path, f"{device} in {netns}") for path, netns, device in _device_paths(scenario)),
        "Give each device of a namespace its own name",
    )


def _address_paths(scenario: Scenario) -> Iterator[tuple[str, str]]:
    for number, node in enumerate(scenario.nodes):
        for which, bridge in enumerate(node.bridges):
            yield from _numbered(f"nodes[{number}].bridges[{which}].addresses", bridge.addresses)
    for number, pod in enumerate(scenario.pods):
        yield from _numbered(f"pods[{number}].addresses", pod.addresses)
    for number, link in enumerate(scenario.links):
        for which, end in enumerate(link.ends):
            yield from _numbered(f"links[{number}].ends[{which}].addresses", end.addresses)


def _numbered(path: str, texts: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for number, text in enumerate(texts):
        yield f"{path}[{number}]", text


def _addresses(scenario: Scenario) -> Iterator[Problem]:
    assigned: list[tuple[str, str]] = []
    for path, text in _address_paths(scenario):
        interface = _interface(text)
        if interface is None:
            yield Problem(path, f"{text!r} is no address with a prefix length", "Write it as 10.0.0.2/24 or fd00::2/64")
        elif interface.is_multicast or interface.is_unspecified or interface.is_loopback:
            yield Problem(path, f"{text} cannot be a device's own address", "Give it a unicast address")
        else:
            assigned.append((path, str(interface.ip)))
    yield from repeated(assigned, "Give each device its own address")
    for number, pod in enumerate(scenario.pods):
        yield from _gateways(pod, f"pods[{number}].wiring.gateways")


def _interface(text: str) -> ipaddress.IPv4Interface | ipaddress.IPv6Interface | None:
    if "/" not in text or "%" in text:
        return None
    try:
        return ipaddress.ip_interface(text)
    except ValueError:
        return None


def _gateways(pod: Pod, path: str) -> Iterator[Problem]:
    if not isinstance(pod.wiring, RoutedWiring):
        return
    for place, text in _numbered(path, pod.wiring.gateways):
        if _version(text) is None:
            yield Problem(place, f"{text!r} is no address", "Write it without a prefix length")
    missing = {_version(address) for address in pod.addresses} ^ {_version(text) for text in pod.wiring.gateways}
    if missing:
        yield Problem(path, "they are not of the families of the pod's addresses", "Give one gateway for each family")


def _version(text: str) -> int | None:
    """Return 4 or 6 for an address, also one with a prefix length, None when it is none."""
    try:
        return None if "%" in text else ipaddress.ip_interface(text).version
    except ValueError:
        return None


def _namespace(scenario: Scenario, namespace: Namespace, path: str) -> Iterator[Problem]:
    devices = devices_of(scenario, namespace.name)
    for key in namespace.sysctls:
        yield from sysctl_problems(key, f"{path}.sysctls")
    for number, route in enumerate(namespace.routes):
        yield from route_problems(route, devices, f"{path}.routes[{number}]")
    for number, neighbour in enumerate(namespace.neighbours):
        if address_version(neighbour.address) is None:
            yield Problem(f"{path}.neighbours[{number}].address", f"{neighbour.address!r} is no address", "Correct it")
        if neighbour.device not in devices:
            yield unknown(f"{path}.neighbours[{number}].device", neighbour.device, devices)
    yield from _services(scenario, namespace, path)


def _services(scenario: Scenario, namespace: Namespace, path: str) -> Iterator[Problem]:
    own = addresses_of(scenario, namespace.name)
    for number, service in enumerate(namespace.services):
        if service.address is not None and service.address not in own:
            yield unknown(f"{path}.services[{number}].address", service.address, own)
    transports = ("tcp" if service.protocol == "tcp" else "udp" for service in namespace.services)
    yield from repeated(
        (
            (f"{path}.services[{number}]", f"port {service.port}/{transport}")
            for number, (service, transport) in enumerate(zip(namespace.services, transports, strict=True))
        ),
        "Only one service can listen there",
    )


def devices_of(scenario: Scenario, netns: str) -> set[str]:
    """Return the names of the devices of a namespace."""
    return {device for _, holder, device in _device_paths(scenario) if holder == netns}


def addresses_of(scenario: Scenario, netns: str) -> set[str]:
    """Return the addresses that are assigned in a namespace."""
    node = next((node for node in scenario.nodes if node.name == netns), Node(name=netns))
    texts = [text for bridge in node.bridges for text in bridge.addresses]
    texts += [text for pod in scenario.pods if pod.name == netns for text in pod.addresses]
    wirings = (pod.wiring for pod in scenario.pods if pod.node == netns)
    texts += [text for wiring in wirings if isinstance(wiring, RoutedWiring) for text in wiring.gateways]
    texts += [text for link in scenario.links for end in link.ends if end.netns == netns for text in end.addresses]
    return {str(ipaddress.ip_interface(text).ip) for text in texts}


def sysctl_problems(key: str, path: str) -> Iterator[Problem]:
    """Yield what is wrong with a sysctl key."""
    try:
        path_of(key)
    except ValueError as error:
        yield Problem(path, str(error), "Write it as net.ipv4.ip_forward, or with slashes where a device has dots")


def route_problems(route: Route, devices: set[str], path: str) -> Iterator[Problem]:
    """Yield what is wrong with a route in a namespace with these devices."""
    network = _network(route.to)
    if network is None:
        yield Problem(
            f"{path}.to", f"{route.to!r} is no network", "Write it as 10.0.0.0/8; the default is 0.0.0.0/0 or ::/0"
        )
        return
    if (route.kind == "unicast") != bool(route.via or route.device):
        way_out = "A unicast route goes via an address or a device; the other kinds have neither"
        yield Problem(path, f"a {route.kind} route cannot be written like this", way_out)
    if route.device is not None and route.device not in devices:
        yield unknown(f"{path}.device", route.device, devices)
    if route.via is not None and address_version(route.via) != network.version:
        yield Problem(f"{path}.via", f"{route.via!r} is no IPv{network.version} address", "Use one family for a route")


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        return None


def address_version(text: str) -> int | None:
    """Return the version of an address that is written without a prefix length, None when it is none."""
    return None if "/" in text else _version(text)
