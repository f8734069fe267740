from __future__ import annotations

import pytest

from tracer.endpoints.model import AddressEndpoint, NetnsEndpoint, NodeEndpoint, ProcessEndpoint
from tracer.endpoints.parse import choose_port, parse_endpoint, parse_protocol
from tracer.errors import UsageError


@pytest.mark.parametrize(
    "text, endpoint",
    [
        ("node", NodeEndpoint("node")),
        ("netns:web", NetnsEndpoint("netns:web", "/run/netns/web")),
        ("netns:..web", NetnsEndpoint("netns:..web", "/run/netns/..web")),
        ("netns:a:b", NetnsEndpoint("netns:a:b", "/run/netns/a:b")),
        ("netns:/proc/1/ns/net", NetnsEndpoint("netns:/proc/1/ns/net", "/proc/1/ns/net")),
        ("pid:42", ProcessEndpoint("pid:42", 42)),
        ("10.0.0.2", AddressEndpoint("10.0.0.2", "10.0.0.2", 4)),
        ("169.254.20.10", AddressEndpoint("169.254.20.10", "169.254.20.10", 4)),
        ("FD00:0::2", AddressEndpoint("FD00:0::2", "fd00::2", 6)),
    ],
)
def test_endpoints(text, endpoint):
    assert parse_endpoint(text) == endpoint


@pytest.mark.parametrize(
    "text, cause",
    [
        ("", "unknown endpoint ''"),
        ("web", "unknown endpoint 'web'"),
        ("Node", "unknown endpoint 'Node'"),
        ("pod2:a/b", "unknown endpoint 'pod2:a/b'"),
        ("10.0.0.2:53", "unknown endpoint '10.0.0.2:53'"),
        ("10.0.0.256", "unknown endpoint '10.0.0.256'"),
        ("no\nde", r"'no\nde' is no endpoint"),
        ("netns:web\x1b[31m", r"'netns:web\x1b[31m' is no endpoint"),
        ("netns:", "'netns:' names no network namespace"),
        ("netns:..", "'netns:..' names no network namespace"),
        ("netns:.", "'netns:.' names no network namespace"),
        ("netns:../../proc/1/ns/net", "'netns:../../proc/1/ns/net' names no network namespace"),
        ("pid:", "'pid:' names no process"),
        ("pid:0", "'pid:0' names no process"),
        ("pid:-1", "'pid:-1' names no process"),
        ("pid:1/../2", "'pid:1/../2' names no process"),
        ("pid:٣", "'pid:٣' names no process"),
        ("pid:99999999999", "'pid:99999999999' names no process"),
        ("127.0.0.1", "127.0.0.1 is a loopback address"),
        ("::1", "::1 is a loopback address"),
        ("0.0.0.0", "0.0.0.0 is the unspecified address"),
        ("::", ":: is the unspecified address"),
        ("224.0.0.1", "224.0.0.1 is a multicast address"),
        ("ff02::1", "ff02::1 is a multicast address"),
        ("255.255.255.255", "255.255.255.255 is the broadcast address"),
        ("fe80::1", "fe80::1 is a link-local address"),
        ("fd00::1%eth0", "fd00::1%eth0 has a scope"),
        ("::ffff:10.0.0.1", "::ffff:10.0.0.1 is an IPv4 address written as an IPv6 one"),
    ],
)
def test_what_is_no_endpoint_is_named_with_a_way_out(text, cause):
    with pytest.raises(UsageError) as caught:
        parse_endpoint(text)
    assert caught.value.cause.startswith(cause)
    assert caught.value.way_out
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("text", ["icmp", "udp", "tcp", "dns"])
def test_protocols(text):
    assert parse_protocol(text) == text


@pytest.mark.parametrize("text", ["", "sctp", "ICMP", "icm"])
def test_unknown_protocols(text):
    with pytest.raises(UsageError, match=f"^unknown protocol '{text}'. Known are icmp, udp, tcp, dns$"):
        parse_protocol(text)


@pytest.mark.parametrize(
    "protocol, port, chosen",
    [
        ("icmp", None, None),
        ("dns", None, 53),
        ("dns", 5353, 5353),
        ("udp", 1, 1),
        ("tcp", 65535, 65535),
    ],
)
def test_ports(protocol, port, chosen):
    assert choose_port(protocol, port) == chosen


@pytest.mark.parametrize(
    "protocol, port, cause",
    [
        ("icmp", 80, "ICMP has no ports: port 80 means nothing"),
        ("icmp", 0, "ICMP has no ports: port 0 means nothing"),
        ("udp", None, "udp needs a port"),
        ("tcp", None, "tcp needs a port"),
        ("tcp", 0, "port 0 is out of range"),
        ("udp", 65536, "port 65536 is out of range"),
        ("dns", -1, "port -1 is out of range"),
    ],
)
def test_wrong_ports(protocol, port, cause):
    with pytest.raises(UsageError) as caught:
        choose_port(protocol, port)
    assert caught.value.cause == cause
    assert caught.value.way_out
