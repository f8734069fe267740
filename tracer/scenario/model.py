"""The scenario format, `tracer/scenario/1`: an incident as data.

A scenario is a folder with `scenario.yaml` (a `Scenario`) and the rule files that it names. Its recording lies beside
them and is no part of the description. Names of nodes, pods and hosts share one space; wherever a
key says `netns`, `source` or `destination`, such a name is meant. Addresses are written with their prefix length
where they are assigned (`192.168.86.67/32`) and without where they are spoken to.

Everything here is data. Nothing in a scenario is a command, and what its rule files may say is limited to the
lab's own namespaces (`tracer.scenario.rulefile`).
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec

from tracer.document import Confidence, Outcome
from tracer.events import Leg
from tracer.netfilter.ruleset import Backend, Family

SCHEMA = "tracer/scenario/1"

# A name becomes part of endpoint labels, so it must be harmless text there.
Name: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?\Z")]
# IFNAMSIZ with its end in include/uapi/linux/if.h; the characters are those that ip(8) prints unchanged.
DeviceName: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^(?!\.{1,2}\Z)[A-Za-z0-9_.-]{1,15}\Z")]
Port: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=65535)]
Mac: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{2}:){5}[0-9a-f]{2}\Z")]
# Table and chain names are written into what iptables-restore and nft read: one word, no quotes, no option.
RuleName: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_./:+-]{0,127}\Z")]
# People read these on terminals: no control characters but line ends.
Text: TypeAlias = Annotated[str, msgspec.Meta(max_length=2000, pattern=r"^[^\x00-\x09\x0b-\x1f\x7f-\x9f]*\Z")]

XtablesFamily: TypeAlias = Literal["ip", "ip6"]
ProbeFamily: TypeAlias = Literal["ipv4", "ipv6"]


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What every part of a scenario has in common: nothing that is not written here is accepted."""


class Route(_Part, frozen=True):
    """A route to the network `to`; `kind` other than unicast has neither `via` nor `device` (ip-route(8))."""

    to: str
    via: str | None = None
    device: DeviceName | None = None
    kind: Literal["unicast", "blackhole", "unreachable", "prohibit"] = "unicast"


class Neighbour(_Part, frozen=True):
    """A permanent neighbour entry (ip-neighbour(8))."""

    address: str
    device: DeviceName
    mac: Mac


class Service(_Part, frozen=True):
    """What answers on a port: `udp` echoes, `tcp` accepts, `dns` answers NXDOMAIN; on every address, or on one."""

    protocol: Literal["udp", "tcp", "dns"]
    port: Port
    address: str | None = None


class Namespace(_Part, frozen=True):
    """What nodes, pods and hosts have in common. Sysctls start from the same base in each (`base_sysctls.BASE`)."""

    name: Name
    sysctls: dict[str, str | int] = {}
    routes: tuple[Route, ...] = ()
    neighbours: tuple[Neighbour, ...] = ()
    services: Annotated[tuple[Service, ...], msgspec.Meta(max_length=64)] = ()


class Bridge(_Part, frozen=True):
    """A bridge and the node's addresses on it."""

    device: DeviceName
    addresses: tuple[str, ...] = ()


class Node(Namespace, frozen=True):
    """A namespace that forwards for its pods. The one that is traced is called `node`."""

    bridges: tuple[Bridge, ...] = ()


class Host(Namespace, frozen=True):
    """A namespace that is neither node nor pod: a router, the API server's machine, a client."""


class CalicoWiring(_Part, frozen=True, tag_field="kind", tag="calico"):
    """As Calico's CNI plugin wires a pod: the gateway is link-local and the node answers ARP for it.

    IPv4: 169.254.1.1 with proxy_arp, which needs a route on the node that leads there, such as a default route. IPv6:
    the link-local address of the node's end of the veth.
    """


class RoutedWiring(_Part, frozen=True, tag_field="kind", tag="routed"):
    """As the CNI plugin `ptp` wires a pod: the node's end of the veth carries the gateway's address."""

    gateways: tuple[str, ...]


class BridgedWiring(_Part, frozen=True, tag_field="kind", tag="bridged"):
    """As the CNI plugin `bridge` wires a pod: the node's end of the veth is a port of a bridge."""

    bridge: DeviceName


Wiring: TypeAlias = CalicoWiring | RoutedWiring | BridgedWiring


class Pod(Namespace, frozen=True, kw_only=True):
    """A pod: `device` is its end of the veth, `host_device` the node's."""

    addresses: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    host_device: DeviceName
    wiring: Wiring
    device: DeviceName = "eth0"
    node: Name = "node"


class LinkEnd(_Part, frozen=True):
    """One end of a veth with the addresses on it."""

    netns: Name
    device: DeviceName
    addresses: tuple[str, ...] = ()


class Link(_Part, frozen=True):
    """A veth between two namespaces, such as a node's uplink."""

    ends: tuple[LinkEnd, LinkEnd]


class _Step(_Part, frozen=True, tag_field="do"):
    """A change in one namespace. `fault` marks what broke the node, `note` says what it was in real life."""

    netns: Name = "node"
    fault: bool = False
    note: Text = ""


class LoadSets(_Step, frozen=True, kw_only=True, tag="load-sets"):
    """Load a file of `ipset save`."""

    file: str


class LoadRules(_Step, frozen=True, kw_only=True, tag="load-rules"):
    """Add a rule file to what a backend has: of iptables-save (without flushing), or of `nft list ruleset`.

    `family` belongs to the iptables backends; an nft file names its own.
    """

    backend: Backend
    file: str
    family: XtablesFamily | None = None


class Flush(_Step, frozen=True, kw_only=True, tag="flush"):
    """Empty tables of an iptables backend (no rules, no chains of its own, policies ACCEPT), or delete nft tables."""

    backend: Backend
    tables: tuple[RuleName, ...]
    family: Family = "ip"


class DeleteChains(_Step, frozen=True, kw_only=True, tag="delete-chains"):
    """Empty and delete chains that nothing else jumps to."""

    backend: Backend
    table: RuleName
    chains: tuple[RuleName, ...]
    family: Family = "ip"


class SetPolicy(_Step, frozen=True, kw_only=True, tag="set-policy"):
    """Set the policy of a base chain."""

    backend: Backend
    table: RuleName
    chain: RuleName
    policy: Literal["ACCEPT", "DROP"]
    family: Family = "ip"


class SetSysctl(_Step, frozen=True, kw_only=True, tag="set-sysctl"):
    """Set a sysctl of the namespace."""

    key: str
    value: str | int


class AddRoute(_Step, frozen=True, kw_only=True, tag="add-route"):
    """Add a route."""

    route: Route


class DeleteRoute(_Step, frozen=True, kw_only=True, tag="delete-route"):
    """Delete a route."""

    route: Route


Step: TypeAlias = LoadSets | LoadRules | Flush | DeleteChains | SetPolicy | SetSysctl | AddRoute | DeleteRoute


class ExpectedCulprit(_Part, frozen=True):
    """What the culprit must be; what is not given is not compared. `rule_contains` is part of the rule's text."""

    kind: Literal["rule", "policy", "kernel"]
    netns: Name = "node"
    hook: str | None = None
    device: str | None = None
    backend: Backend | None = None
    family: Family | None = None
    table: str | None = None
    chain: str | None = None
    position: int | None = None
    rule: str | None = None
    rule_contains: str | None = None
    verdict: str | None = None
    owner: str | None = None
    function: str | None = None
    reason: str | None = None


class Expectation(_Part, frozen=True):
    """What a probe must show."""

    outcome: Outcome
    leg: Leg | None = None
    confidence: Confidence | None = None
    culprit: ExpectedCulprit | None = None


class Probe(_Part, frozen=True, kw_only=True):
    """One probe from a namespace to another, or to an address. `expect_after` is for after the remedy."""

    name: Name
    source: Name
    destination: str
    expect: Expectation
    protocol: Literal["icmp", "udp", "tcp", "dns"] = "icmp"
    port: Port | None = None
    family: ProbeFamily = "ipv4"
    expect_after: Expectation = Expectation(outcome="delivered")


class Scenario(_Part, frozen=True, kw_only=True):
    """A lab, how it came to be in its state, what probes show there, and what cures it.

    `history` is what was done on the machines, in the order in which it was done: at equal priority the hook that
    was registered last runs first, so the order is part of the incident.
    """

    schema: Literal["tracer/scenario/1"]
    name: Name
    title: Text
    story: Text
    symptom: Text
    cause: Text
    references: tuple[Text, ...] = ()
    nodes: Annotated[tuple[Node, ...], msgspec.Meta(min_length=1, max_length=16)]
    pods: Annotated[tuple[Pod, ...], msgspec.Meta(max_length=64)] = ()
    hosts: Annotated[tuple[Host, ...], msgspec.Meta(max_length=16)] = ()
    links: Annotated[tuple[Link, ...], msgspec.Meta(max_length=64)] = ()
    history: tuple[Step, ...] = ()
    probes: Annotated[tuple[Probe, ...], msgspec.Meta(min_length=1)]
    remedy: tuple[Step, ...] = ()


def namespaces(scenario: Scenario) -> tuple[Namespace, ...]:
    """Return the scenario's nodes, pods and hosts, in this order."""
    return (*scenario.nodes, *scenario.pods, *scenario.hosts)


def label(name: str) -> str:
    """Return what a trace document calls the namespace: `node`, or `netns:NAME`."""
    return name if name == "node" else f"netns:{name}"
