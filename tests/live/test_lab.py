"""Labs stand, behave as their scenarios say before and after the remedy, and leave nothing behind."""

from __future__ import annotations

import contextlib
import itertools
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from live.lab_probes import answered, outcome, run, sent
from live.netns_in_use import held_here, in_use

from tracer.endpoints.resolve import resolve_flow
from tracer.errors import CannotTraceError, UsageError
from tracer.netns import run_in
from tracer.scenario import backends
from tracer.scenario import lab as lab_module
from tracer.scenario.lab import build
from tracer.scenario.load import available, find, load
from tracer.scenario.model import (
    AddRoute,
    DeleteChains,
    DeleteRoute,
    Expectation,
    Flush,
    LoadRules,
    LoadSets,
    Probe,
    Route,
    SetPolicy,
    SetSysctl,
)
from tracer.scenario.steps import apply_step

LIBRARY = ["calico-backend-split", "forward-policy-drop", "healthy"]
LAB_RUN = Path(__file__).parent / "lab_run.py"
ETH_P_ALL = 3  # include/uapi/linux/if_ether.h
SERVICES = "services: [{protocol: udp, port: 7}, {protocol: tcp, port: 80}, {protocol: dns, port: 53}]"
PORTS = {"icmp": None, "udp": 7, "tcp": 80, "dns": 53}

ONE_POD_OF_EACH_WIRING = f"""
schema: tracer/scenario/1
name: wirings
title: One pod of each wiring, in both families
story: A test.
symptom: None.
cause: None.
nodes:
  - name: node
    sysctls: {{net.ipv4.ip_forward: 1, net.ipv6.conf.all.forwarding: 1}}
    routes:
      - {{to: 0.0.0.0/0, via: 192.0.2.2}}
    bridges:
      - {{device: cni0, addresses: [10.1.0.1/24, "fd01::1/64"]}}
    {SERVICES}
pods:
  - name: bridged
    addresses: [10.1.0.2/24, "fd01::2/64"]
    host_device: veth0
    wiring: {{kind: bridged, bridge: cni0}}
    {SERVICES}
  - name: routed
    addresses: [10.2.0.2/24, "fd02::2/64"]
    host_device: veth1
    wiring: {{kind: routed, gateways: [10.2.0.1, "fd02::1"]}}
    {SERVICES}
  - name: calico
    addresses: [10.3.0.2/32, "fd03::2/128"]
    host_device: veth.dotted
    wiring: {{kind: calico}}
    {SERVICES}
hosts:
  - name: outside
    routes:
      - {{to: 10.0.0.0/8, via: 192.0.2.1}}
      - {{to: "fd00::/8", via: "2001:db8::1"}}
    {SERVICES}
links:
  - ends:
      - {{netns: node, device: eth0, addresses: [192.0.2.1/24, "2001:db8::1/64"]}}
      - {{netns: outside, device: eth0, addresses: [192.0.2.2/24, "2001:db8::2/64"]}}
probes:
  - {{name: one, source: bridged, destination: node, expect: {{outcome: delivered}}}}
"""


TWO_NODES = """
schema: tracer/scenario/1
name: two-nodes
title: A pod on each of two nodes
story: A test.
symptom: None.
cause: None.
nodes:
  - name: node
    sysctls: {net.ipv4.ip_forward: 1}
    routes: [{to: 10.2.0.0/24, via: 192.0.2.2, device: eth0}]
  - name: worker
    sysctls: {net.ipv4.ip_forward: 1}
    routes: [{to: 10.1.0.0/24, via: 192.0.2.1, device: eth0}]
    neighbours: [{address: 192.0.2.9, device: eth0, mac: "02:00:00:00:00:09"}]
pods:
  - name: first
    addresses: [10.1.0.2/24]
    host_device: veth0
    wiring: {kind: routed, gateways: [10.1.0.1]}
  - name: second
    node: worker
    addresses: [10.2.0.2/24]
    host_device: veth0
    wiring: {kind: routed, gateways: [10.2.0.1]}
    services: [{protocol: udp, port: 7}]
links:
  - ends:
      - {netns: node, device: eth0, addresses: [192.0.2.1/24]}
      - {netns: worker, device: eth0, addresses: [192.0.2.2/24]}
probes:
  - {name: one, source: first, destination: second, expect: {outcome: delivered}}
"""


@pytest.fixture
def write(tmp_path):
    """Return a function that writes a scenario's folder, with rule files and more YAML, and loads it."""

    def write_scenario(more="", **files):
        (tmp_path / "scenario.yaml").write_text(ONE_POD_OF_EACH_WIRING + more)
        for name, text in files.items():
            (tmp_path / name).write_text(text)
        return load(tmp_path)

    return write_scenario


def a_probe(source, destination, protocol="icmp", family="ipv4"):
    return Probe(
        name="probe",
        source=source,
        destination=destination,
        protocol=protocol,
        port=PORTS[protocol],
        family=family,
        expect=Expectation(outcome="delivered"),
    )


def arrives(lab, probe, seconds=10.0):
    with sent(lab, probe) as opened:
        return answered(probe, opened, seconds)


def is_lost(lab, probe):
    """Nothing but time tells that no answer comes; in a lab one takes less than a millisecond."""
    return not arrives(lab, probe, seconds=0.2)


def wait_until(condition, what, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.005)


def test_the_scenarios_that_come_along_are_tested():
    assert set(available()) >= set(LIBRARY)


@pytest.mark.parametrize("name", LIBRARY)
def test_every_probe_ends_where_the_scenario_says_and_arrives_after_the_remedy(name):
    loaded = load(find(name))

    def seen(key):
        return {probe.name: outcome(lab, probe, getattr(probe, key)) for probe in loaded.scenario.probes}

    def expected(key):
        outcomes = {probe.name: getattr(probe, key).outcome for probe in loaded.scenario.probes}
        return {name: "delivered" if said == "delivered" else "dropped" for name, said in outcomes.items()}

    with build(loaded) as lab:
        assert seen("expect") == expected("expect")
        lab.apply_remedy()
        assert seen("expect_after") == expected("expect_after")


def test_the_new_pod_answers_its_node_and_the_answer_dies_in_the_node():
    loaded = load(find("calico-backend-split"))
    (probe,) = (probe for probe in loaded.scenario.probes if probe.name == "node-to-new")
    with build(loaded) as lab:
        packets = run_in(lab.netns("node"), lambda: socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM))
        with packets:
            packets.bind(("cali64753973478", ETH_P_ALL))
            assert outcome(lab, probe, probe.expect) == "dropped"
            packets.setblocking(False)
            received = [packet for packet, sender in everything_from(packets) if sender[2] != socket.PACKET_OUTGOING]
    icmp_types = [packet[20] for packet in received if packet[0] >> 4 == 4 and packet[9] == socket.IPPROTO_ICMP]
    assert icmp_types == [0]


def everything_from(opened):
    while True:
        try:
            yield opened.recvfrom(2048)
        except BlockingIOError:
            return


def test_backends_stand_in_the_order_of_the_history():
    with build(load(find("calico-backend-split"))) as lab:
        node = lab.netns("node")
        legacy = run(node, "iptables-legacy-save")
        nft = run(node, "iptables-nft-save")
    for text in legacy, nft:
        assert {"*raw", "*mangle", "*nat", "*filter"} <= set(text.splitlines())
    assert "cali64753973478" not in legacy
    assert "-A cali-from-wl-dispatch -i cali64753973478" in nft
    forward = [line for line in nft.splitlines() if line.startswith("-A FORWARD ")]
    assert [line.split()[-1] for line in forward] == [
        "cali-FORWARD",
        "KUBE-PROXY-FIREWALL",
        "KUBE-FORWARD",
        "KUBE-SERVICES",
        "KUBE-EXTERNAL-SERVICES",
        "ACCEPT",
        "0x10000/0x10000",
    ]


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_every_wiring_connects_with_every_other(write, family):
    ends = ["node", "bridged", "routed", "calico", "outside"]
    with build(write()) as lab:
        probes = [a_probe(*pair, protocol, family) for pair in itertools.permutations(ends, 2) for protocol in PORTS]
        lost = [(probe.source, probe.destination, probe.protocol) for probe in probes if not arrives(lab, probe)]
        solicits = [
            run(netns, "grep", "Icmp6OutRouterSolicits", "/proc/net/snmp6").split()[1] for netns in lab.netnses.values()
        ]
    assert lost == []
    assert solicits == ["0"] * len(ends)


def test_two_nodes_reach_each_other_s_pods(tmp_path):
    (tmp_path / "scenario.yaml").write_text(TWO_NODES)
    with build(load(tmp_path)) as lab:
        assert arrives(lab, a_probe("first", "second", "udp"))
        assert arrives(lab, a_probe("worker", "first"))
        neighbours = run(lab.netns("worker"), "ip", "neigh", "show", "192.0.2.9")
    assert neighbours.split() == ["192.0.2.9", "dev", "eth0", "lladdr", "02:00:00:00:00:09", "PERMANENT"]


def test_a_lab_without_ipv6_addresses_sends_no_ipv6():
    with build(load(find("healthy"))) as lab:
        assert arrives(lab, a_probe("old", "node"))
        for netns in lab.netnses.values():
            assert run(netns, "grep", "Ip6OutRequests", "/proc/net/snmp6").split() == ["Ip6OutRequests", "0"]


def test_endpoints_of_the_lab_resolve_into_a_flow():
    with build(load(find("calico-backend-split"))) as lab:
        flow = resolve_flow(lab.endpoint("new"), lab.endpoint("node"), protocol="icmp", node=lab.node)
        assert (flow.source.label, flow.source.address) == ("netns:new", "192.168.86.67")
        assert flow.source.host_device.name == "cali64753973478"
        assert flow.destination.netns == lab.netns("node")
        assert lab.endpoint("10.96.0.10").address == "10.96.0.10"
        with pytest.raises(UsageError, match="unknown endpoint"):
            lab.endpoint("nobody")
        with pytest.raises(UsageError, match="has no nobody"):
            lab.netns("nobody")
        with pytest.raises(UsageError, match="new has no ipv6 address"):
            lab.address("new", "ipv6")


def test_steps_on_the_network(write):
    probe = a_probe("routed", "outside")
    blackhole = Route(to="192.0.2.2/32", kind="blackhole")
    with build(write()) as lab:
        node = lab.netns("node")
        for broken, mended in [
            (SetSysctl(key="net.ipv4.ip_forward", value=0), SetSysctl(key="net.ipv4.ip_forward", value=1)),
            (AddRoute(route=blackhole), DeleteRoute(route=blackhole)),
        ]:
            apply_step(broken, node, {})
            assert is_lost(lab, probe)
            apply_step(mended, node, {})
            assert arrives(lab, probe)


XTABLES_FENCE = """*filter
:fence - [0:0]
:inner - [0:0]
-A FORWARD -j fence
-A fence -p udp -j inner
-A inner -j DROP
COMMIT
"""
NFT_FENCE = """table inet guard {
    chain forward {
        type filter hook forward priority 0; policy accept;
        jump fence
    }
    chain fence {
        meta l4proto udp jump inner
    }
    chain inner {
        drop
    }
}
"""
XTABLES_GATE = "*filter\n-D FORWARD -j fence\nCOMMIT\n"
NFT_GATE = "flush chain inet guard forward\n"


@pytest.mark.parametrize(
    "backend, family, table, fence, gate",
    [
        ("iptables-legacy", "ip", "filter", XTABLES_FENCE, XTABLES_GATE),
        ("iptables-legacy", "ip6", "filter", XTABLES_FENCE, XTABLES_GATE),
        ("iptables-nft", "ip", "filter", XTABLES_FENCE, XTABLES_GATE),
        ("iptables-nft", "ip6", "filter", XTABLES_FENCE, XTABLES_GATE),
        ("nftables", "inet", "guard", NFT_FENCE, NFT_GATE),
    ],
)
def test_steps_on_rules(write, backend, family, table, fence, gate):
    probe = a_probe("routed", "outside", "udp", "ipv6" if family == "ip6" else "ipv4")
    ping = a_probe("routed", "outside", "icmp", probe.family)
    forward = "forward" if backend == "nftables" else "FORWARD"
    files = {"fence": fence, "gate": gate}
    where = {"backend": backend, "family": family}
    load_family = None if backend == "nftables" else family
    steps = [
        (LoadRules(backend=backend, family=load_family, file="fence"), False, True),
        (LoadRules(backend=backend, family=load_family, file="gate"), True, True),
        (DeleteChains(**where, table=table, chains=("fence", "inner")), True, True),
        (SetPolicy(**where, table=table, chain=forward, policy="DROP"), False, False),
        (SetPolicy(**where, table=table, chain=forward, policy="ACCEPT"), True, True),
        (SetPolicy(**where, table=table, chain=forward, policy="DROP"), False, False),
        (Flush(**where, tables=(table,)), True, True),
    ]
    with build(write()) as lab:
        for step, udp_arrives, icmp_arrives in steps:
            apply_step(step, lab.netns("node"), files)
            for sent_probe, expected in (probe, udp_arrives), (ping, icmp_arrives):
                assert arrives(lab, sent_probe, 10 if expected else 0.2) is expected, step


def test_sets_are_there_for_the_rules_that_use_them(write):
    sets = 'create stopped hash:ip comment\nadd stopped 10.2.0.2 comment "the routed pod -file x"\n'
    rules = "*filter\n-A FORWARD -m set --match-set stopped src -j DROP\nCOMMIT\n"
    with build(write()) as lab:
        apply_step(LoadSets(file="sets"), lab.netns("node"), {"sets": sets})
        apply_step(LoadRules(backend="iptables-legacy", file="rules"), lab.netns("node"), {"rules": rules})
        assert is_lost(lab, a_probe("routed", "outside"))
        assert arrives(lab, a_probe("calico", "outside"))


def test_a_service_can_listen_on_one_address_alone(write):
    second = ONE_POD_OF_EACH_WIRING.replace(
        "bridges:", "services: [{protocol: udp, port: 9, address: 10.1.0.1}]\n    bridges:"
    ).replace(f"    {SERVICES}\npods:", "pods:")
    loaded = write()
    (loaded.folder / "scenario.yaml").write_text(second)
    with build(load(loaded.folder)) as lab:
        listening = run(lab.netns("node"), "ss", "-Hlun").split()
    assert [word for word in listening if word.endswith(":9")] == ["10.1.0.1:9"]


REFUSED = [
    (
        LoadRules(backend="iptables-legacy", file="bad"),
        "*filter\n-A INPUT -j NOWHERE\nCOMMIT\n",
        "bad, line 2: iptables-legacy-restore refuses it: Couldn't load target",
    ),
    (
        LoadRules(backend="iptables-nft", family="ip6", file="bad"),
        "*filter\n-A INPUT -s 10.0.0.1\nCOMMIT\n",
        "bad, line 2: ip6tables-nft-restore refuses it: ",
    ),
    (  # it looks for chains when it commits, and gives that line
        LoadRules(backend="iptables-nft", file="bad"),
        "*filter\n-A INPUT -j nowhere\nCOMMIT\n",
        "bad, line 3: iptables-nft-restore refuses it: Chain 'nowhere' does not exist",
    ),
    (
        LoadRules(backend="nftables", file="bad"),
        "table ip a {\n  chain b { hello }\n}\n",
        "bad, line 2: nft refuses it: syntax error",
    ),
    (
        LoadSets(file="bad"),
        "create a hash:ip\nadd b 10.0.0.1\n",
        "bad, line 2: ipset refuses it: The set with the given name does not exist",
    ),
    (Flush(backend="nftables", tables=("none",)), "", "flush of nftables, line 1: nft refuses it: "),
]


@pytest.mark.parametrize("step, text, complaint", REFUSED)
def test_what_a_backend_refuses_is_told_with_file_and_line(write, step, text, complaint):
    with build(write()) as lab, pytest.raises(UsageError) as refusal:
        apply_step(step, lab.netns("node"), {"bad": text})
    assert refusal.value.cause.startswith(complaint)
    assert "\n" not in str(refusal.value)


def test_a_program_that_is_not_there_is_named(write, monkeypatch):
    monkeypatch.setitem(backends._ENVIRONMENT, "PATH", "/nonexistent")
    with (
        build(write()) as lab,
        pytest.raises(CannotTraceError, match=r"nft is not on this machine\. Install"),
    ):
        apply_step(LoadRules(backend="nftables", file="none"), lab.netns("node"), {"none": ""})


def test_a_sysctl_that_the_kernel_refuses_is_named(write):
    with (
        build(write()) as lab,
        pytest.raises(CannotTraceError, match=r"refuses 'x' for the sysctl net\.ipv4\.ip_forward"),
    ):
        apply_step(SetSysctl(key="net.ipv4.ip_forward", value="x"), lab.netns("node"), {})


def test_two_labs_at_once_do_not_meet():
    split, healthy = load(find("calico-backend-split")), load(find("healthy"))
    with build(split) as broken, build(healthy) as whole:
        assert {netns.inum for netns in broken.netnses.values()}.isdisjoint(
            netns.inum for netns in whole.netnses.values()
        )
        probe = split.scenario.probes[0]
        assert outcome(broken, probe, probe.expect) == "dropped"
        assert arrives(whole, probe)
        broken.apply_remedy()
        assert arrives(broken, probe)


@pytest.mark.parametrize("error", [None, ZeroDivisionError(), KeyboardInterrupt()])
def test_nothing_is_left_when_the_context_ends(error):
    before = what_we_hold()
    with contextlib.suppress(ZeroDivisionError, KeyboardInterrupt), build(load(find("healthy"))) as lab:
        assert arrives(lab, a_probe("old", "node"))
        inums = {netns.inum for netns in lab.netnses.values()}
        assert inums <= in_use()
        if error is not None:
            raise error
    assert what_we_hold() == before
    wait_until(lambda: inums.isdisjoint(in_use()), "a namespace is left")


@pytest.mark.parametrize("error", [KeyboardInterrupt, CannotTraceError, UsageError])
@pytest.mark.parametrize("work", ["run_in", "apply_step"])
def test_nothing_is_left_when_building_fails(monkeypatch, work, error):
    def fail(*_):
        assert len(held_here()) == 5
        raise error("no")

    before = what_we_hold()
    monkeypatch.setattr(lab_module, work, fail)
    with pytest.raises(error), build(load(find("healthy"))):
        pass
    assert what_we_hold() == before


def what_we_hold():
    return sorted(held_here()), len(list(Path("/proc/self/fd").iterdir())), threading.active_count()


@contextlib.contextmanager
def stopped_build(stop):
    """Run a build that stops at a piece of its work; give the process and the namespaces that it holds."""
    command = [sys.executable, str(LAB_RUN), "calico-backend-split", str(stop)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process, set(json.loads(process.stdout.readline()))
        finally:
            process.kill()


@pytest.mark.parametrize("stop", [1, 7, 12, 17, 21, 22, 23, 24, 26, 99])
def test_a_killed_build_leaves_nothing(stop):
    with stopped_build(stop) as (process, inums):
        assert len(inums) == 5
        assert inums <= in_use()
        process.kill()
        process.wait()
        wait_until(lambda: inums.isdisjoint(in_use()), "a namespace outlives its process")


@pytest.mark.parametrize("stop", [3, 22, 99])
def test_ctrl_c_in_a_build_closes_all(stop):
    with stopped_build(stop) as (process, inums):
        assert len(inums) == 5
        process.send_signal(signal.SIGINT)
        still_held, _ = process.communicate(timeout=10)
        assert json.loads(still_held) == []
        assert process.returncode == 0


def test_the_flagship_is_built_in_less_than_a_second():
    loaded = load(find("calico-backend-split"))
    times = []
    for _ in range(3):
        start = time.monotonic()
        with build(loaded):
            times.append(time.monotonic() - start)
    assert min(times) < 1
