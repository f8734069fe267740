"""Events as a capture would give them, written down by hand: a ping from the node to a pod unless said otherwise."""

from __future__ import annotations

import struct

from tracer.document import Capture, Flow, HookFunction, Host, Place
from tracer.events import DeviceEvent, FreedEvent, HookEvent, RuleEvent, SocketEvent
from tracer.evidence import Evidence
from tracer.journey import build_legs
from tracer.packet import ICMP, ICMPV6, TCP, UDP
from tracer.probe.headers import ip_packet, udp_datagram

LEGACY, NFT, NATIVE = "iptables-legacy", "iptables-nft", "nftables"
NODE, POD = "node", "netns:pod"
NODE_IP, POD_IP = "10.0.0.1", "10.0.0.2"
NODE_IP6, POD_IP6 = "fd00::1", "fd00::2"
ENTRY = -451
NETFILTER_DROP = "SKB_DROP_REASON_NETFILTER_DROP"


def packet(source, destination, protocol, body):
    return ip_packet(source, destination, protocol, body, hop_limit=64, traffic_class=0)


def ping(source=NODE_IP, destination=POD_IP):
    kind, protocol = (128, ICMPV6) if ":" in source else (8, ICMP)
    return packet(source, destination, protocol, struct.pack("!BBHHH", kind, 0, 0, 7, 1))


def pong(source=POD_IP, destination=NODE_IP):
    kind, protocol = (129, ICMPV6) if ":" in source else (0, ICMP)
    return packet(source, destination, protocol, struct.pack("!BBHHH", kind, 0, 0, 7, 1))


def datagram(source, source_port, destination, port):
    return packet(source, destination, UDP, udp_datagram(source, source_port, destination, port, b"token"))


def segment(source, source_port, destination, port, flags):
    header = struct.pack("!HHIIBBHHH", source_port, port, 1, 2, 5 << 4, flags, 64, 0, 0)
    return packet(source, destination, TCP, header)


def icmp_error(about, source, destination=NODE_IP, kind=3, code=3):
    return packet(source, destination, ICMP, struct.pack("!BBHI", kind, code, 0, 0) + about)


PING, PONG = ping(), pong()
_PACKETS = {"request": PING, "reply": PONG}


def _packet(leg, given):
    return _PACKETS[leg] if given is None else given


def sent(at=0, netns=NODE, packet=None):
    return SocketEvent(at, netns, "request", "sent", _packet("request", packet))


def refused(at=0, netns=NODE, error="Operation not permitted"):
    return SocketEvent(at, netns, "request", "refused", PING, error)


def received(at, packet=None, netns=NODE):
    return SocketEvent(at, netns, "reply", "received", _packet("reply", packet))


def device(at, netns, name, direction, leg="request", packet=None, skb="0x1"):
    return DeviceEvent(at, netns, leg, skb, name, direction, 0, _packet(leg, packet))


def hook(at, netns, name, priority=ENTRY, leg="request", packet=None, skb="0x1", came="", goes=""):
    return HookEvent(at, netns, leg, skb, name, priority, came, goes, 0, _packet(leg, packet))


def freed(at, netns=NODE, function="nf_hook_slow+0x7d", reason=NETFILTER_DROP, leg="request", packet=None, skb="0x1"):
    return FreedEvent(at, netns, leg, skb, function, reason, 0, _packet(leg, packet))


def rule(at, backend, table, chain, verdict, hook="INPUT", leg="request", netns=NODE, **other):
    """Return the event of a rule, or of a policy where it has neither position nor handle."""
    is_rule = other.keys() & {"position", "handle"}
    other.setdefault("rule", f"-A {chain} -j {verdict.upper()}" if is_rule else f"-P {chain} {verdict.upper()}")
    other.setdefault("family", "ip")
    step = "rule" if is_rule else "policy"
    return RuleEvent(at, netns, leg, backend, hook=hook, table=table, chain=chain, step=step, verdict=verdict, **other)


_FUNCTIONS = {LEGACY: "ipt_do_table", NFT: "nft_do_chain_ipv4", NATIVE: "nft_do_chain_inet", None: "nf_confirm"}


def function(name, order, priority, backend=None, table=None, chain=None, family="ipv4", netns=NODE, called=None):
    chain = chain or (name if backend else None)
    return HookFunction(netns, family, name, order, priority, called or _FUNCTIONS[backend], backend, table, chain)


FLOW = Flow(
    "icmp",
    "00" * 16,
    Place("node", NODE, NODE_IP, None, "veth-pod", None),
    Place("netns:pod", POD, POD_IP, None, "eth0", "veth-pod"),
)
HOST = Host("worker", "6.12.0", "0.1.0", "2025-11-23T03:12:45.118+00:00")
CAPTURE = Capture("link", "tcx", ("nft-trace",), 0, 0, ())

REQUEST = (
    sent(0),
    hook(10, NODE, "OUTPUT", goes="veth-pod"),
    hook(20, NODE, "POSTROUTING", goes="veth-pod"),
    device(30, NODE, "veth-pod", "egress"),
    device(40, POD, "eth0", "ingress"),
    hook(50, POD, "PREROUTING", came="eth0"),
    hook(60, POD, "INPUT", came="eth0"),
)
"""The request, as it arrives in the pod."""

REPLY = (
    hook(100, POD, "OUTPUT", leg="reply", goes="eth0", skb="0x2"),
    hook(110, POD, "POSTROUTING", leg="reply", goes="eth0", skb="0x2"),
    device(120, POD, "eth0", "egress", leg="reply", skb="0x2"),
    device(130, NODE, "veth-pod", "ingress", leg="reply", skb="0x2"),
    hook(140, NODE, "PREROUTING", leg="reply", came="veth-pod", skb="0x2"),
    hook(150, NODE, "INPUT", leg="reply", came="veth-pod", skb="0x2"),
)
"""The reply, as it arrives in the node."""

DELIVERED = (*REQUEST, *REPLY, received(200))


def evidence(events, hooks=(), flow=FLOW, lost=0):
    in_time_order = tuple(sorted(events, key=lambda event: event.at_ns))
    return Evidence(flow, build_legs(in_time_order, hooks), in_time_order, tuple(hooks), lost)
