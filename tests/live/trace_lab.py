"""A node with two pods and a machine outside: what they answer, what they filter, and traces through them."""

from __future__ import annotations

import contextlib
import functools
import socket
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import msgspec
from anonymous_netns import anonymous, connect, forwarding_lab, prepare, run
from attached import device_programs
from pyroute2 import IPRoute

from tracer import sysctl
from tracer.capture.hook_functions import read_hooks
from tracer.capture.priorities import OUR_FUNCTION
from tracer.document import Decision, Hop, TraceDocument
from tracer.document_file import json_bytes
from tracer.endpoints.model import Endpoint, NetnsEndpoint, NodeEndpoint, Protocol
from tracer.endpoints.parse import parse_endpoint
from tracer.netfilter.ruleset import Backend
from tracer.netns import Netns, run_in
from tracer.packet import IpFamily
from tracer.preparation import Preparation
from tracer.scenario import responders
from tracer.scenario.backends import load_rules
from tracer.scenario.topology import Listener
from tracer.tracing import Tell, TraceRequest, trace_flow

PORTS = {"udp": 5000, "tcp": 80, "dns": 53}
PROTOCOLS: tuple[Protocol, ...] = ("icmp", "udp", "tcp", "dns")
ICMP = {4: "icmp", 6: "ipv6-icmp"}
CLIENT = {4: "10.1.0.2", 6: "fd01::2"}
SERVER = {4: "10.2.0.2", 6: "fd02::2"}
NODE_TO_CLIENT = {4: "10.1.0.1", 6: "fd01::1"}
NODE_TO_SERVER = {4: "10.2.0.1", 6: "fd02::1"}
OUTSIDE = {4: "10.3.0.2", 6: "fd03::2"}
LOGGERS = {4: "net.netfilter.nf_log.2", 6: "net.netfilter.nf_log.10"}


@dataclass(frozen=True)
class TraceLab:
    """The client, a pod, is at 10.1.0.2 and fd01::2 behind veth1 of the node, the server behind veth2 at 10.2.0.2.

    The node's default route leads to the machine outside, behind veth3. All three answer on PORTS, and ping.
    """

    client: Netns
    node: Netns
    server: Netns
    outside: Netns

    @property
    def pods(self) -> tuple[Netns, ...]:
        """The namespaces behind the node's veths."""
        return self.client, self.server, self.outside

    def endpoint(self, name: str) -> Endpoint:
        """Return `node`, `client`, `server`, `outside` or an address as an endpoint."""
        if name == "node":
            return NodeEndpoint()
        if name in ("client", "server", "outside"):
            netns = getattr(self, name)
            return NetnsEndpoint(netns.label, netns.path)
        return parse_endpoint(name)


@contextlib.contextmanager
def trace_lab() -> Iterator[TraceLab]:
    """Make the namespaces, and answer in them."""
    with forwarding_lab() as made, anonymous("outside") as outside, contextlib.ExitStack() as stack:
        run_in(outside, prepare)
        connect(made.node, outside, 3)
        run_in(made.node, _default_routes)
        client, server, outside = (
            replace(netns, label=f"netns:{netns.label}") for netns in (made.client, made.server, outside)
        )
        lab = TraceLab(client, made.node, server, outside)
        for netns in (lab.node, *lab.pods):
            run_in(netns, _log_nowhere)
        stack.enter_context(_answering(lab))
        yield lab


def trace(
    preparation: Preparation,
    lab: TraceLab,
    source: str,
    destination: str,
    protocol: Protocol = "icmp",
    *,
    port: int | None = None,
    family: IpFamily = 4,
    timeout_s: float = 5.0,
    known: Sequence[Netns] | None = None,
    tell: Tell = lambda step: None,
) -> TraceDocument:
    """Trace one flow, and check what is true of every document; `known` are all of the lab's, if not given."""
    request = TraceRequest(
        lab.endpoint(source),
        lab.endpoint(destination),
        NetnsEndpoint("node", lab.node.path),
        protocol,
        port or PORTS.get(protocol),
        family,
        timeout_s,
        lab.pods if known is None else tuple(known),
    )
    document = trace_flow(request, preparation, tell)
    assert document.capture.lost == 0
    assert all(change.restored for change in document.capture.changes)
    everywhere = (lab.node, *lab.pods)
    assert {event.netns for event in document.events} <= {netns.label for netns in everywhere} | {
        f"netns:[{netns.inum}]" for netns in everywhere
    }
    times = [event.at_ns for event in document.events]
    assert times == sorted(times)
    assert all(len(event.packet) <= _length(event.packet) for event in document.events if event.packet)
    assert (document.verdict.culprit is None) == (document.verdict.outcome == "delivered")
    assert (document.verdict.basis != "") == (document.verdict.confidence == "inferred")
    assert msgspec.json.decode(json_bytes(document), type=TraceDocument) == document
    return document


def load(netns: Netns, backend: Backend, *rules: str, table: str = "filter", family: IpFamily = 4) -> None:
    """Load rules, or lines of chains, as iptables-save writes them."""
    text = "\n".join((f"*{table}", *rules, "COMMIT", ""))
    load_rules(netns, (backend, "ip" if family == 4 else "ip6"), text, "the test")


def load_native(netns: Netns, hook: str, *rules: str, policy: str = "accept", kind: str = "filter at 0") -> None:
    """Load rules into a base chain of nft's own, in a table `inet t-HOOK`; `kind` is its type and priority."""
    chain_type, _, priority = kind.partition(" at ")
    head = f"type {chain_type} hook {hook} priority {priority}; policy {policy};"
    body = "\n".join((head, *rules))
    text = f"table inet t-{hook} {{\nchain c {{\n{body}\n}}\n}}\n"
    load_rules(netns, ("nftables", "inet"), text, "the test")


def transport(protocol: Protocol, family: IpFamily) -> str:
    """Return what iptables calls the IP protocol that a probe of `protocol` is."""
    return {"icmp": ICMP[family], "dns": "udp"}.get(protocol, protocol)


def set_sysctl(netns: Netns, name: str, value: int) -> None:
    """Set a sysctl of a namespace."""
    run_in(netns, lambda: sysctl.write(name, str(value)))


def ip(netns: Netns, *commands: str) -> None:
    """Run ip(8) commands in a namespace."""
    run(netns, "ip", "-batch", "-", stdin="\n".join(commands))


def hops(document: TraceDocument, leg: str) -> tuple[Hop, ...]:
    """Return a leg's hops, none where it was not seen."""
    return next((trace.hops for trace in document.legs if trace.leg == leg), ())


def places(document: TraceDocument, leg: str) -> list[str]:
    """Return a leg's hops as `node FORWARD`."""
    return [f"{hop.netns.removeprefix('netns:')} {hop.place}" for hop in hops(document, leg)]


def hop(document: TraceDocument, leg: str, place: str) -> Hop:
    """Return the one hop of a leg that is called so, as `places` has it."""
    (found,) = (hop for hop, name in zip(hops(document, leg), places(document, leg), strict=True) if name == place)
    return found


def decisions(document: TraceDocument, leg: str, place: str) -> list[tuple[str, str, str, str]]:
    """Return what was decided at a hop, as (backend, table, rule, verdict)."""
    return [_in_short(decision) for decision in hop(document, leg, place).decisions]


def assert_in_order(wanted: Iterable[str], seen: Sequence[str]) -> None:
    """Fail unless `seen` has all of `wanted`, in that order, whatever is between them."""
    rest = iter(seen)
    missing = [one for one in wanted if one not in rest]
    assert not missing, f"{missing[0]} is not there, or too early: {seen}"


def path(source: str, destination: str) -> list[str]:
    """Return the places that a packet between two ends passes, in order, from socket to socket."""
    steps = [f"{source} OUTPUT", f"{source} POSTROUTING", f"{source} egress"]
    if "node" not in (source, destination):
        steps += [f"node {place}" for place in ("ingress", "PREROUTING", "FORWARD", "POSTROUTING", "egress")]
    return [*steps, f"{destination} ingress", f"{destination} PREROUTING", f"{destination} INPUT"]


def left_over(preparation: Preparation, lab: TraceLab) -> list[str]:
    """Return what a tracer has left in the lab: tables, links, programs on devices and settings."""
    everywhere = (lab.node, *lab.pods)
    functions = read_hooks(preparation.programs.result(), everywhere)
    found = [f"{entry.function} in {entry.netns}" for entry in functions if entry.function == OUR_FUNCTION]
    for netns in everywhere:
        found += [f"a program on {device} of {netns.label}" for device in device_programs(netns)]
        found += [
            f"{line} in {netns.label}" for line in run(netns, "nft", "list", "tables").splitlines() if "tracer-" in line
        ]
        values = [run_in(netns, functools.partial(sysctl.read, name)) for name in LOGGERS.values()]
        found += [f"nf_log {value} in {netns.label}" for value in values if value != "NONE"]
    return found


def wait_until_nothing_is_left(preparation: Preparation, lab: TraceLab, timeout_s: float = 5.0) -> None:
    """Wait for what is taken away behind a verdict, or by a watchdog; fail where something stays."""
    deadline = time.monotonic() + timeout_s
    while found := left_over(preparation, lab):
        assert time.monotonic() < deadline, found
        time.sleep(0.01)


def silent_socket(netns: Netns, kind: socket.SocketKind, port: int) -> socket.socket:
    """Return a socket that is bound for IPv4 and IPv6 in a namespace, and that nobody reads from."""

    def bound() -> socket.socket:
        opened = socket.socket(socket.AF_INET6, kind)
        opened.bind(("::", port))
        return opened

    return run_in(netns, bound)


def _length(packet: bytes) -> int:
    """Return the length that a packet's header tells."""
    return int.from_bytes(packet[2:4], "big") if packet[0] >> 4 == 4 else 40 + int.from_bytes(packet[4:6], "big")


def _in_short(decision: Decision) -> tuple[str, str, str, str]:
    return decision.backend, decision.table, decision.rule, decision.verdict


def _log_nowhere() -> None:
    for name in LOGGERS.values():
        sysctl.write(name, "NONE")


def _default_routes() -> None:
    with IPRoute() as route:
        for family, gateway in OUTSIDE.items():
            route.route(
                "add", dst="default", gateway=gateway, family=socket.AF_INET if family == 4 else socket.AF_INET6
            )


@contextlib.contextmanager
def _answering(lab: TraceLab) -> Iterator[None]:
    addresses = {
        lab.client: (CLIENT,),
        lab.node: (NODE_TO_CLIENT, NODE_TO_SERVER),
        lab.server: (SERVER,),
        lab.outside: (OUTSIDE,),
    }
    with contextlib.ExitStack() as stack:
        opened = [
            (listener, stack.enter_context(socket_))
            for netns, known in addresses.items()
            for listener, socket_ in run_in(netns, functools.partial(_listen, known))
        ]
        stack.enter_context(responders.answering(opened))
        yield


def _listen(known: Iterable[dict[int, str]]) -> list[tuple[Listener, socket.socket]]:
    listeners = [
        Listener(protocol, address, port)
        for addresses in known
        for address in addresses.values()
        for protocol, port in PORTS.items()
    ]
    return [(listener, responders.open_listener(listener)) for listener in listeners]
