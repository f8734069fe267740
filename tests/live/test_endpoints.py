"""Flows between pods and nodes that are wired as Calico and the CNI plugin `bridge` wire them."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from pod_wiring import Names, ip, namespaces, node_with_pods, process_in, run, wire_bridge, wire_calico

from tracer.endpoints.namespaces import list_namespaces, node_namespace
from tracer.endpoints.parse import parse_endpoint
from tracer.endpoints.pods import peer_namespaces, read_pod
from tracer.endpoints.resolve import resolve_flow
from tracer.errors import CannotTraceError, UsageError
from tracer.netns import Netns, open_netns, run_in


@pytest.fixture(scope="module")
def lab():
    with node_with_pods() as names:
        yield names


def resolve(lab: Names, source: str, destination: str, protocol="icmp", **wishes):
    node = parse_endpoint(f"netns:{lab.node}")
    return resolve_flow(named(lab, source), named(lab, destination), node=node, protocol=protocol, **wishes)


def named(lab: Names, text: str):
    """Read `routed` and `bridged` as the lab's pods, and anything else as it is."""
    return parse_endpoint({"routed": f"netns:{lab.routed}", "bridged": f"netns:{lab.bridged}"}.get(text, text))


def places(lab: Names, flow) -> list[str]:
    """Name the devices to watch as `routed/eth0`."""
    purposes = {f"netns:{lab.routed}": "routed", f"netns:{lab.bridged}": "bridged", "node": "node"}
    return [f"{purposes[device.netns.label]}/{device.name}" for device in flow.devices]


@pytest.mark.parametrize(
    "source, destination, family, addresses, watched",
    [
        ("routed", "node", None, ("10.65.0.2", "192.0.2.1"), ["routed/eth0", "node/cali0"]),
        ("routed", "node", 6, ("fd65::2", "fd66::1"), ["routed/eth0", "node/cali0"]),
        ("node", "routed", None, ("192.0.2.1", "10.65.0.2"), ["node/cali0", "routed/eth0"]),
        ("node", "routed", 6, ("fd66::1", "fd65::2"), ["node/cali0", "routed/eth0"]),
        ("bridged", "node", 4, ("10.66.0.2", "10.66.0.1"), ["bridged/eth0", "node/veth0"]),
        ("node", "bridged", 6, ("fd66::1", "fd66::2"), ["node/veth0", "bridged/eth0"]),
        (
            "routed",
            "bridged",
            None,
            ("10.65.0.2", "10.66.0.2"),
            ["routed/eth0", "node/cali0", "node/veth0", "bridged/eth0"],
        ),
        (
            "bridged",
            "routed",
            6,
            ("fd66::2", "fd65::2"),
            ["bridged/eth0", "node/veth0", "node/cali0", "routed/eth0"],
        ),
        ("routed", "10.66.0.1", None, ("10.65.0.2", "10.66.0.1"), ["routed/eth0", "node/cali0"]),
        ("192.0.2.1", "bridged", None, ("192.0.2.1", "10.66.0.2"), ["node/veth0", "bridged/eth0"]),
        (
            "fd66::2",
            "fd65::2",
            None,
            ("fd66::2", "fd65::2"),
            ["bridged/eth0", "node/veth0", "node/cali0", "routed/eth0"],
        ),
    ],
)
def test_flows(lab, source, destination, family, addresses, watched):
    flow = resolve(lab, source, destination, family=family)
    assert (flow.source.address, flow.destination.address) == addresses
    assert places(lab, flow) == watched
    assert flow.family == (6 if ":" in addresses[0] else 4)
    assert flow.candidates == ()
    assert flow.notes == ()


def test_both_ends_of_a_pods_veth_are_described(lab):
    end = resolve(lab, "bridged", "node").source
    assert end.label == f"netns:{lab.bridged}"
    assert (end.device.name, end.device.netns) == ("eth0", end.netns)
    assert (end.host_device.name, end.host_device.netns.label) == ("veth0", "node")
    assert end.bridge.name == "cni0"
    assert end.netns.inum == Path(f"/run/netns/{lab.bridged}").stat().st_ino
    index = run_in(end.host_device.netns, lambda: Path("/proc/thread-self/net/igmp").read_text())
    assert re.search(rf"^{end.host_device.index}\tveth0 ", index, re.MULTILINE)


def test_the_node_is_described_by_its_device_towards_the_pod(lab):
    flow = resolve(lab, "bridged", "node", protocol="dns")
    assert flow.destination.label == "node"
    assert flow.destination.netns == flow.node
    assert flow.destination.device.name == "cni0"
    assert flow.destination.host_device is None
    assert flow.port == 53


def test_an_address_that_is_elsewhere_is_followed_to_the_nodes_way_out(lab):
    flow = resolve(lab, "routed", "203.0.113.9", protocol="tcp", port=80)
    assert flow.destination.netns is None
    assert flow.destination.device is None
    assert flow.destination.host_device.name == "uplink"
    assert places(lab, flow) == ["routed/eth0", "node/cali0", "node/uplink"]


def test_pods_behind_which_a_services_address_may_lie_are_candidates(lab):
    flow = resolve(lab, "routed", "10.96.0.10", protocol="dns")
    assert [candidate.device.name for candidate in flow.candidates] == ["veth0"]
    assert flow.candidates_left_out == 0
    found = peer_namespaces(flow.node, flow.candidates)
    assert found[flow.candidates[0].peer_nsid].label == f"netns:{lab.bridged}"


def test_candidates_are_bounded(lab, monkeypatch):
    monkeypatch.setattr("tracer.endpoints.pods.MOST_CANDIDATES", 0)
    flow = resolve(lab, "routed", "10.96.0.10")
    assert flow.candidates == ()
    assert flow.candidates_left_out == 1


def test_a_process_stands_for_its_namespace(lab):
    with process_in(lab.routed) as pid:
        flow = resolve(lab, f"pid:{pid}", "node")
    assert flow.source.label == f"pid:{pid}"
    assert flow.source.netns.label == f"pid:{pid}"
    assert flow.source.host_device.name == "cali0"


def test_a_process_is_found_by_its_address():
    """Its namespace has no name, as those of Docker's containers."""
    with namespaces("node", "pod") as (node, pod), process_in(pod) as pid:
        wire_calico(node, pod)
        ip(node, "addr add 192.0.2.1/24 dev lo")
        subprocess.run(["umount", f"/run/netns/{pod}"], check=True, timeout=10)
        flow = resolve_flow(
            parse_endpoint("10.65.0.2"),
            parse_endpoint("node"),
            node=parse_endpoint(f"netns:{node}"),
            protocol="icmp",
        )
        assert flow.source.netns.label == f"pid:{pid}"
        with pytest.raises(UsageError, match=f"/run/netns/{pod} is not a network namespace"):
            node_namespace(parse_endpoint(f"netns:{pod}"))


def test_the_same_address_in_another_nodes_pod_is_not_taken(lab):
    with namespaces("node", "routed") as (node, pod):
        wire_calico(node, pod)
        ip(node, "addr add 192.0.2.1/24 dev lo")
        flow = resolve_flow(
            parse_endpoint("10.65.0.2"),
            parse_endpoint("node"),
            node=parse_endpoint(f"netns:{node}"),
            protocol="icmp",
        )
        assert flow.source.netns.label == f"netns:{pod}"
    assert resolve(lab, "10.65.0.2", "node").source.netns.label == f"netns:{lab.routed}"


def test_a_pod_that_may_bind_any_address_does_not_hold_them_all():
    with namespaces("node", "pod") as (node, pod):
        wire_bridge(node, pod)
        run(pod, "sysctl", "-qw", "net.ipv4.ip_nonlocal_bind=1")
        with pytest.raises(UsageError, match=r"^10\.66\.0\.77 is neither"):
            resolve_flow(
                parse_endpoint("10.66.0.77"),
                parse_endpoint("node"),
                node=parse_endpoint(f"netns:{node}"),
                protocol="icmp",
            )


def test_ifindexes_that_fit_by_chance_join_no_pod_to_another_node():
    with namespaces("node", "pod", "node2", "pod2") as (*first, node, pod):
        for here, there in (first, (node, pod)):
            wire_calico(here, there)
        nodes = [open_netns("node", f"/run/netns/{name}") for name in (first[0], node)]
        ours = open_netns("pod", f"/run/netns/{pod}")
        (end,) = read_pod(ours, nodes[1]).host_ends.values()
        assert end.device.name == "cali0"
        assert read_pod(ours, nodes[0]).host_ends == {}


def test_a_veth_into_a_third_namespace_is_not_taken_for_one_into_the_node():
    """Its other end's ifindex there is that of the pod's own host-side veth in the node."""
    with namespaces("node", "pod", "third") as (node, pod, third):
        wire_bridge(node, pod)
        here, inside = open_netns("node", f"/run/netns/{node}"), open_netns("pod", f"/run/netns/{pod}")
        ((index, end),) = read_pod(inside, here).host_ends.items()
        ip(third, f"link add far0 index {end.device.index} type veth peer name eth1 netns {pod}")
        assert read_pod(inside, here).host_ends == {index: end}


def test_an_address_that_leads_to_the_node_is_preferred():
    """A pod may hold others, on its loopback device too, that the node has no route to."""
    with namespaces("node", "pod") as (node, pod):
        wire_bridge(node, pod)
        ip(pod, "addr add 10.9.9.9/32 dev lo")
        flow = resolve_flow(
            parse_endpoint(f"netns:{pod}"),
            parse_endpoint("node"),
            node=parse_endpoint(f"netns:{node}"),
            protocol="icmp",
        )
        assert (flow.source.address, flow.destination.address) == ("10.66.0.2", "10.66.0.1")


def test_an_address_on_the_loopback_device_is_reached_through_another():
    with namespaces("node", "pod") as (node, pod):
        wire_bridge(node, pod)
        ip(pod, "addr add 10.9.9.9/32 dev lo")
        ip(node, "route add 10.9.9.9/32 via 10.66.0.2")
        flow = resolve_flow(
            parse_endpoint("node"),
            parse_endpoint("10.9.9.9"),
            node=parse_endpoint(f"netns:{node}"),
            protocol="icmp",
        )
        assert (flow.destination.device.name, flow.destination.host_device.name) == ("eth0", "veth0")


def test_an_address_of_too_narrow_a_scope_speaks_to_nobody():
    with namespaces("node", "pod") as (node, pod):
        wire_bridge(node, pod)
        ip(pod, "addr flush dev eth0", "addr add 10.66.0.2/24 scope link dev eth0", "route add default via 10.66.0.1")
        ip(node, "addr add 192.0.2.1/24 dev lo")
        with pytest.raises(UsageError, match=r"^netns:pod-\w+ has no address from which to reach 192.0.2.1"):
            resolve_flow(
                parse_endpoint(f"netns:{pod}"),
                parse_endpoint("192.0.2.1"),
                node=parse_endpoint(f"netns:{node}"),
                protocol="icmp",
            )


def test_the_nodes_own_namespace_named_otherwise_is_the_node(lab):
    flow = resolve(lab, "routed", f"netns:/run/netns/{lab.node}")
    assert flow.destination.netns == flow.node


def test_of_several_devices_the_one_with_the_route_is_taken():
    with namespaces("node", "pod") as (node, pod):
        wire_bridge(node, pod)
        ip(
            node,
            f"link add net1host type veth peer name net1 netns {pod}",
            "addr add 10.67.0.1/24 dev net1host",
            "link set net1host up",
        )
        ip(pod, "link set net1 up", "addr add 10.67.0.2/24 dev net1")
        here = parse_endpoint(f"netns:{node}")
        pod_end = parse_endpoint(f"netns:{pod}")
        out = resolve_flow(pod_end, parse_endpoint("10.67.0.1"), node=here, protocol="icmp")
        assert (out.source.address, out.source.device.name) == ("10.67.0.2", "net1")
        assert out.source.host_device.name == "net1host"
        back = resolve_flow(parse_endpoint("10.67.0.1"), pod_end, node=here, protocol="icmp")
        assert (back.destination.address, back.destination.device.name) == ("10.67.0.2", "net1")
        assert {device.name for device in back.devices} == {"eth0", "veth0", "net1", "net1host"}


def test_ipv6_is_taken_when_ipv4_is_not_on_both_ends():
    with namespaces("node", "pod") as (node, pod):
        wire_bridge(node, pod)
        ip(pod, "addr del 10.66.0.2/24 dev eth0")
        flow = resolve_flow(
            parse_endpoint(f"netns:{pod}"),
            parse_endpoint("node"),
            node=parse_endpoint(f"netns:{node}"),
            protocol="icmp",
        )
        assert (flow.family, flow.source.address) == (6, "fd66::2")


@pytest.mark.parametrize(
    "address",
    [
        "fd66::3/64 dev eth0 preferred_lft 0 valid_lft 3600",  # deprecated
        "fd66::3/64 dev eth1",  # tentative: its device is down, so nobody was asked whether it is free
        "fe80::2/64 dev eth0",  # link-local
        "::1/128 dev lo",
    ],
)
def test_addresses_that_are_not_to_be_used(address):
    with namespaces("node", "pod") as (node, pod):
        wire_bridge(node, pod)
        ip(pod, "link add eth1 type veth peer name eth2", "addr del fd66::2/64 dev eth0")
        run(pod, "sysctl", "-qw", "net.ipv6.conf.eth1.accept_dad=1")
        ip(pod, f"addr replace {address}")
        with pytest.raises(UsageError, match=r"pod-\w+ has no IPv6 address"):
            resolve_flow(
                parse_endpoint(f"netns:{pod}"),
                parse_endpoint("node"),
                node=parse_endpoint(f"netns:{node}"),
                protocol="icmp",
                family=6,
            )


def test_a_device_that_does_not_lead_to_the_node_is_told():
    with namespaces("node", "router", "pod") as (node, router, pod):
        wire_bridge(router, pod)
        ip(
            router,
            f"link add up0 type veth peer name down0 netns {node}",
            "addr add 192.0.2.2/24 dev up0",
            "link set up0 up",
        )
        ip(
            node,
            "addr add 192.0.2.1/24 dev down0",
            "link set down0 up",
            "route add 10.66.0.0/24 via 192.0.2.2",
        )
        flow = resolve_flow(
            parse_endpoint(f"netns:{pod}"),
            parse_endpoint("192.0.2.1"),
            node=parse_endpoint(f"netns:{node}"),
            protocol="icmp",
        )
        assert flow.source.host_device is None
        assert flow.notes == (
            f"eth0 of netns:{pod} is no veth that ends in the node: between them the packet is not seen",
        )


def test_names_of_devices_are_hostile():
    with namespaces("node", "pod") as (node, pod):
        ip(node, f"link add \x1b]0;\u202e type veth peer name eth0 netns {pod}")
        ip(node, "link set \x1b]0;\u202e up", "addr add 10.0.0.1/24 dev \x1b]0;\u202e")
        ip(pod, "link set eth0 up", "addr add 10.0.0.2/24 dev eth0")
        flow = resolve_flow(
            parse_endpoint(f"netns:{pod}"),
            parse_endpoint("node"),
            node=parse_endpoint(f"netns:{node}"),
            protocol="icmp",
        )
        assert flow.source.host_device.name == r"\x1b]0;\u202e"


def test_the_node_is_where_the_tool_runs_unless_it_is_named():
    node = node_namespace(parse_endpoint("node"))
    assert (node.label, node.inum) == ("node", Path("/proc/self/ns/net").stat().st_ino)


def test_each_namespace_is_listed_once(lab):
    with process_in(lab.routed):
        found = list_namespaces()
    numbers = [netns.inum for netns in found]
    assert len(numbers) == len(set(numbers))
    assert f"netns:{lab.routed}" in {netns.label for netns in found}
    assert Path("/proc/self/ns/net").stat().st_ino in numbers


@pytest.mark.parametrize(
    "source, destination, wishes, sentence",
    [
        ("netns:no-such", "node", {}, "netns:no-such: no network namespace at /run/netns/no-such"),
        ("netns:/etc/hostname", "node", {}, "/etc/hostname is not a network namespace"),
        ("netns:/proc/self/ns/pid", "node", {}, "/proc/self/ns/pid is not a network namespace"),
        ("pid:4194305", "node", {}, "there is no process 4194305"),
        ("node", "node", {}, "source and destination are in one network namespace: node"),
        ("node", "192.0.2.1", {}, "in one network namespace: node and 192.0.2.1"),
        ("routed", "10.65.0.2", {}, "in one network namespace: netns:routed-.* and 10.65.0.2"),
        ("10.99.0.1", "node", {}, "10.99.0.1 is neither an address of the node nor of a pod"),
        ("routed", "fd66::2", {"family": 4}, "fd66::2 has no IPv4 address"),
        ("10.65.0.2", "fd66::2", {}, "10.65.0.2 and fd66::2 have no address family in common"),
        ("bridged", "10.66.0.255", {}, r"no route from .* to 10.66.0.255 \(it is a broadcast address"),
        ("routed", "node", {"port": 80}, "ICMP has no ports"),
        ("routed", "node", {"protocol": "udp"}, "udp needs a port"),
        ("routed", "node", {"protocol": "tcp", "port": 70000}, "port 70000 is out of range"),
    ],
)
def test_flows_that_make_no_sense(lab, source, destination, wishes, sentence):
    with pytest.raises(UsageError, match=sentence) as caught:
        resolve(lab, source, destination, **wishes)
    assert caught.value.way_out


def test_a_process_without_a_namespace_of_its_own(lab):
    with process_in(lab.node) as pid, pytest.raises(UsageError) as caught:
        resolve(lab, f"pid:{pid}", "routed")
    assert caught.value.cause == (f"process {pid} has no network namespace of its own: it is in the node's")


def test_an_address_is_no_node():
    with pytest.raises(UsageError, match=r"^10.0.0.1 cannot be the node"):
        node_namespace(parse_endpoint("10.0.0.1"))


@pytest.mark.parametrize("kind", ["", "blackhole", "unreachable", "prohibit"])
def test_no_route(kind):
    with namespaces("node", "pod") as (node, pod):
        wire_bridge(node, pod)
        ip(pod, "route del 0.0.0.0/0", "route del ::/0")
        if kind:
            ip(pod, f"route add {kind} 0.0.0.0/0", f"route add {kind} ::/0")
        ip(node, "addr add 192.0.2.1/24 dev lo", "addr add fd92::1/64 dev lo")
        for address in ("192.0.2.1", "fd92::1"):
            with pytest.raises(UsageError, match=rf"^there is no route from netns:pod-\w+ to {address} \(\w+"):
                resolve_flow(
                    parse_endpoint(f"netns:{pod}"),
                    parse_endpoint(address),
                    node=parse_endpoint(f"netns:{node}"),
                    protocol="icmp",
                )


def test_no_route_back():
    with namespaces("node", "pod") as (node, pod):
        wire_bridge(node, pod)
        ip(node, "addr flush dev cni0", "addr add 192.0.2.1/24 dev lo")
        with pytest.raises(UsageError, match=r"^there is no route back from 192.0.2.1 to 10.66.0.2 \("):
            resolve_flow(
                parse_endpoint(f"netns:{pod}"),
                parse_endpoint("192.0.2.1"),
                node=parse_endpoint(f"netns:{node}"),
                protocol="icmp",
            )


def test_no_address_in_common():
    with namespaces("node", "pod") as (node, pod):
        wire_bridge(node, pod)
        ip(pod, "addr flush dev eth0")
        with pytest.raises(UsageError, match=r"netns:pod-\w+ and node have no address family in common"):
            resolve_flow(
                parse_endpoint(f"netns:{pod}"),
                parse_endpoint("node"),
                node=parse_endpoint(f"netns:{node}"),
                protocol="icmp",
            )


def test_a_namespace_that_went_away(lab):
    with process_in(lab.routed) as pid:
        netns = open_netns(f"pid:{pid}", f"/proc/{pid}/ns/net")
    with pytest.raises(CannotTraceError, match="is gone"):
        run_in(netns, lambda: None)
    with pytest.raises(CannotTraceError, match="is gone"):
        run_in(Netns("netns:x", f"/run/netns/{lab.routed}", netns.inum + 1_000_000), lambda: None)


def test_others_are_told_to_be_root():
    os.seteuid(65534)
    try:
        with pytest.raises(CannotTraceError) as caught:
            open_netns("pid:1", "/proc/1/ns/net")
    finally:
        os.seteuid(0)
    assert "not allowed" in caught.value.cause
    assert caught.value.way_out.startswith("Run as root")
