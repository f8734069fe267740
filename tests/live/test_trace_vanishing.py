"""A pod that ends while it is traced: one clear sentence or a verdict, and nothing left in the node."""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from anonymous_netns import anonymous, connect, prepare
from trace_lab import ip, load, set_sysctl

from tracer.document import TraceDocument
from tracer.endpoints.model import NetnsEndpoint
from tracer.errors import TracerError
from tracer.netns import Netns, run_in
from tracer.tracing import TraceRequest, trace_flow

STEPS = ("looking for the endpoints", "compiling the BPF programs", "waiting for the answer")
SECONDS = 10


@dataclass(frozen=True)
class Mortal:
    """A pod at 10.4.0.2 behind veth4, which ends as soon as it is let go of."""

    netns: Netns
    held: contextlib.ExitStack

    def die(self):
        self.held.close()


@pytest.fixture
def mortal(traced_lab):
    with contextlib.ExitStack() as held:
        netns = replace(held.enter_context(anonymous("mortal")), label="netns:mortal")
        run_in(netns, prepare)
        connect(traced_lab.node, netns, 4)
        yield Mortal(netns, held)


def traced(preparation, lab, netnses, tell, timeout_s=0.5):
    """Return the document or the error of a trace between two namespaces."""
    ends = (NetnsEndpoint(netns.label, netns.path) for netns in netnses)
    node = NetnsEndpoint("node", lab.node.path)
    try:
        return trace_flow(TraceRequest(*ends, node, "icmp", None, 4, timeout_s, lab.pods), preparation, tell)
    except TracerError as error:
        return error


@pytest.mark.parametrize("backend", [None, "iptables-legacy"])
@pytest.mark.parametrize("end", ["source", "destination"])
@pytest.mark.parametrize("step", STEPS)
def test_the_pod_is_gone_at_a_step(preparation, traced_lab, mortal, step, end, backend):
    if backend:
        load(mortal.netns, backend, "-A INPUT -j ACCEPT")
        load(traced_lab.node, backend, "-A FORWARD -j ACCEPT")

    def tell(words):
        if words == step:
            mortal.die()

    netnses = (mortal.netns, traced_lab.server)
    outcome = traced(preparation, traced_lab, netnses if end == "source" else netnses[::-1], tell)
    if isinstance(outcome, TraceDocument):
        # Its own sockets may hold the namespace, and the kernel takes its time to take one down.
        assert step == "waiting for the answer"
        assert all(change.restored for change in outcome.capture.changes)
    else:
        assert outcome.exit_status in (2, 3)
        assert outcome.way_out
        assert "netns:mortal" in outcome.cause or "veth4" in outcome.cause, outcome.cause


@pytest.mark.parametrize("backend", [None, "iptables-legacy"])
def test_the_pod_ends_with_the_probe_in_it(preparation, traced_lab, mortal, backend):
    set_sysctl(mortal.netns, "net.ipv4.icmp_echo_ignore_all", 1)
    if backend:
        load(mortal.netns, backend, "-A INPUT -j ACCEPT")
    killer = threading.Thread(target=die_of_a_ping, args=(mortal,))
    killer.start()
    try:
        outcome = traced(preparation, traced_lab, (traced_lab.client, mortal.netns), lambda words: None, 1.0)
    finally:
        killer.join()
    if isinstance(outcome, TraceDocument):
        assert outcome.verdict.outcome == "no_reply"
    else:
        assert "the network namespace of netns:mortal" in outcome.cause
        assert "is gone" in outcome.cause


def die_of_a_ping(mortal):
    """End the pod when an echo request has arrived in it."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline and not run_in(mortal.netns, received_pings):
        time.sleep(0.005)
    mortal.die()


def received_pings():
    """Return how many echo requests came in (proc_net_snmp)."""
    names, values = (
        line.split() for line in Path("/proc/thread-self/net/snmp").read_text().splitlines() if line.startswith("Icmp:")
    )
    return int(values[names.index("InEchos")])


@pytest.mark.parametrize("device", ["veth1", "veth2"])
def test_a_device_is_gone_when_it_is_to_be_watched(preparation, traced_lab, device):
    def tell(words):
        if words == STEPS[1]:
            ip(traced_lab.node, f"link del {device}")

    outcome = traced(preparation, traced_lab, (traced_lab.client, traced_lab.server), tell)
    if isinstance(outcome, TraceDocument):
        assert outcome.verdict.outcome in ("request_lost", "rejected", "not_sent")
    else:
        assert (outcome.exit_status, device in outcome.cause or "eth0" in outcome.cause) == (3, True)
        assert outcome.cause.endswith("is gone") or "cannot watch device" in outcome.cause
