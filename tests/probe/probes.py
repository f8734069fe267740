"""Flows without a machine, for probes that are never sent."""

from __future__ import annotations

from tracer.endpoints.model import End, LocalEnd, ResolvedFlow
from tracer.netns import Netns
from tracer.probe.build import build_probe
from tracer.probe.model import Probe

NODE = Netns("node", "/proc/self/ns/net", 1)
POD = Netns("netns:pod", "/run/netns/pod", 2)
ADDRESSES = {4: ("10.0.0.2", "10.0.0.1"), 6: ("fd00::2", "fd00::1")}
PORTS = {"icmp": None, "udp": 33434, "tcp": 80, "dns": 53}
TOKEN = bytes(range(0xE0, 0xF0))
SOURCE_PORT = 40000


def flow_of(protocol: str, family: int) -> ResolvedFlow:
    source, destination = ADDRESSES[family]
    return ResolvedFlow(
        protocol,
        PORTS[protocol],
        family,
        NODE,
        LocalEnd("netns:pod", POD, source, None, None),
        End("node", NODE, destination, None, None),
        devices=(),
    )


def probe_of(protocol: str, family: int, token: bytes = TOKEN) -> Probe:
    return build_probe(flow_of(protocol, family), token, None if protocol == "icmp" else SOURCE_PORT)
