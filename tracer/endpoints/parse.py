"""Read what the user wrote: endpoints, protocol and port. Nothing here asks the machine."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import get_args

from tracer.endpoints.model import (
    AddressEndpoint,
    Endpoint,
    NetnsEndpoint,
    NodeEndpoint,
    ProcessEndpoint,
    Protocol,
)
from tracer.errors import UsageError

NAMED_NETNS = "/run/netns"  # ip-netns(8)
DEFAULT_PORTS: dict[Protocol, int] = {"dns": 53}

_FORMS = "An endpoint is `node`, `netns:NAME`, `netns:/PATH`, `pid:N` or an IP address"


def parse_endpoint(text: str) -> Endpoint:
    """Return the endpoint that `text` names; raise UsageError when it names none."""
    if not text.isprintable():
        raise UsageError(f"{text!r} is no endpoint: it has characters that cannot be printed", _FORMS)
    if text == "node":
        return NodeEndpoint()
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        scheme, colon, value = text.partition(":")
        if not colon or scheme not in _SCHEMES:
            raise UsageError(f"unknown endpoint {text!r}", _FORMS) from None
        return _SCHEMES[scheme](text, value)
    return _address(text, address)


def parse_protocol(text: str) -> Protocol:
    """Return the protocol called `text`; raise UsageError when there is no such one."""
    for protocol in get_args(Protocol):
        if text == protocol:
            return protocol  # type: ignore[no-any-return]
    raise UsageError(f"unknown protocol {text!r}", f"Known are {', '.join(get_args(Protocol))}")


def choose_port(protocol: Protocol, port: int | None) -> int | None:
    """Return the destination port, the protocol's own if none is given; raise UsageError for a wrong one."""
    if protocol == "icmp":
        if port is not None:
            raise UsageError(f"ICMP has no ports: port {port} means nothing", "Leave the port out, or say udp or tcp")
        return None
    if port is None:
        if protocol not in DEFAULT_PORTS:
            raise UsageError(f"{protocol} needs a port", "Give the port that should answer, such as --port 80")
        return DEFAULT_PORTS[protocol]
    if not 1 <= port <= 65535:
        raise UsageError(f"port {port} is out of range", "Ports go from 1 to 65535")
    return port


def _netns(label: str, value: str) -> Endpoint:
    if value.startswith("/"):
        return NetnsEndpoint(label, value)
    if "/" in value or value in {"", ".", ".."}:
        raise UsageError(
            f"{label!r} names no network namespace",
            f"After `netns:` comes a name in {NAMED_NETNS}, or a path that begins with `/`",
        )
    return NetnsEndpoint(label, f"{NAMED_NETNS}/{value}")


def _process(label: str, value: str) -> Endpoint:
    if not (value.isascii() and value.isdecimal()) or len(value) > 10 or int(value) == 0:
        raise UsageError(f"{label!r} names no process", "After `pid:` comes a number, such as pid:1234")
    return ProcessEndpoint(label, int(value))


_SCHEMES: dict[str, Callable[[str, str], Endpoint]] = {"netns": _netns, "pid": _process}


def _address(text: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> Endpoint:
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        raise UsageError(f"{text} is an IPv4 address written as an IPv6 one", f"Write it as {address.ipv4_mapped}")
    if "%" in text:
        raise UsageError(f"{text} has a scope, which only one network namespace knows", "Leave out the `%` part")
    if why := _why_not_routed(address):
        raise UsageError(
            f"{text} is {why}: no route leads there from another network namespace",
            "Name an address that routes lead to, or `node`, `netns:NAME` or `pid:N`",
        )
    return AddressEndpoint(text, str(address), address.version)


def _why_not_routed(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str | None:
    if address.is_loopback:
        return "a loopback address"
    if address.is_unspecified:
        return "the unspecified address"
    if address.is_multicast:
        return "a multicast address"
    if address == ipaddress.IPv4Address("255.255.255.255"):
        return "the broadcast address"
    # IPv4's link-local ones are in use on nodes: node-local DNS caches listen on 169.254.20.10.
    if isinstance(address, ipaddress.IPv6Address) and address.is_link_local:
        return "a link-local address"
    return None
