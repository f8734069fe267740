"""Several traces at once on one node: each has its own verdict, none waits for ever, none hears another's probe."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from trace_lab import PORTS, assert_in_order, load, load_native, path, places, silent_socket, trace

from tracer.capture.hook_functions import read_hooks
from tracer.capture.priorities import OUR_FUNCTION
from tracer.document import TraceDocument
from tracer.errors import CannotTraceError
from tracer.netfilter.evidence.table import OUR_TABLE
from tracer.scenario.backends import load_rules

WORKER = Path(__file__).with_name("trace_worker.py")
ROOT = Path(__file__).parents[2]
LEGACY, NFT = "iptables-legacy", "iptables-nft"
MUTE = "meta nftrace set 0"
LATE_CHAIN = "table inet late {\nchain c {\ntype filter hook forward priority 2;\nudp dport 5000 drop\n}\n}\n"
SILENT = 5001
SECONDS = 20


@pytest.fixture(scope="module")
def workers():
    """Start four processes that trace, with their programs compiled."""
    with contextlib.ExitStack() as stack:
        started = [stack.enter_context(worker()) for _ in range(4)]
        assert [line(process) for process in started] == [b'"ready"\n'] * 4
        yield started


@contextlib.contextmanager
def worker():
    process = subprocess.Popen(
        [sys.executable, str(WORKER)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    with process:
        try:
            yield process
            process.stdin.close()
            assert process.wait(SECONDS) == 0
        finally:
            process.kill()


def line(process):
    assert select.select([process.stdout], [], [], SECONDS)[0], "the worker says nothing"
    return process.stdout.readline()


def start(process, lab, source, destination, protocol, *, port=None, family=4, timeout_s=5.0):
    request = {
        "source": place(lab, source),
        "destination": place(lab, destination),
        "node": ["node", path_of(lab.node)],
        "protocol": protocol,
        "port": port or PORTS.get(protocol),
        "family": family,
        "timeout_s": timeout_s,
        "known": [[netns.label, path_of(netns)] for netns in lab.pods],
    }
    process.stdin.write(msgspec.json.encode(request) + b"\n")
    process.stdin.flush()


def place(lab, name):
    if name not in ("client", "server"):
        return name
    netns = getattr(lab, name)
    return [netns.label, path_of(netns)]


def path_of(netns):
    return netns.path.replace("/self/", f"/{os.getpid()}/")


def result(process):
    return msgspec.json.decode(line(process), type=TraceDocument | str)


def at_once(workers, lab, *flows):
    """Trace all flows at once, and return their documents, in which nobody else's probe is to be found."""
    for process, flow in zip(workers, flows, strict=False):
        start(process, lab, *flow)
    documents = [result(process) for process, _ in zip(workers, flows, strict=False)]
    assert [document for document in documents if isinstance(document, str)] == []
    assert_apart(documents)
    return documents


def has(packet, token):
    """Tell whether a probe's token is in a packet, as it is or as digits."""
    return token in packet or token.hex().encode() in packet


def assert_apart(documents):
    tokens = {bytes.fromhex(document.flow.token) for document in documents}
    assert len(tokens) == len(documents)
    for document in documents:
        others = tokens - {bytes.fromhex(document.flow.token)}
        strangers = [event for event in document.events for other in others if has(event.packet, other)]
        assert strangers == []
        assert not any(OUR_TABLE.fullmatch(entry.table or "") for entry in document.hooks)
        assert document.capture.lost == 0
        assert document.capture.notes == ()
        assert all(change.restored for change in document.capture.changes)


FOUR = [
    ("client", "server", "udp"),
    ("client", "server", "udp"),
    ("server", "client", "tcp"),
    ("client", "node", "icmp"),
]


@pytest.mark.parametrize("count", [2, 4])
def test_the_same_flow_without_filters(workers, traced_lab, count):
    documents = at_once(workers, traced_lab, *[("client", "server", "udp")] * count)
    assert {document.verdict.outcome for document in documents} == {"delivered"}
    for document in documents:
        assert places(document, "request") == ["client socket", *path("client", "server")]
        assert places(document, "reply") == [*path("server", "client"), "client socket"]


def test_different_flows(workers, traced_lab):
    load(traced_lab.node, NFT, "-A FORWARD -p tcp -j DROP")
    udp, again, tcp, icmp = at_once(workers, traced_lab, *FOUR)
    assert {document.verdict.outcome for document in (udp, again, icmp)} == {"delivered"}
    assert (tcp.verdict.outcome, tcp.verdict.culprit.backend) == ("request_lost", NFT)
    assert all(document.capture.rules == ("nft-trace",) for document in (udp, again, tcp, icmp))
    assert_in_order(path("client", "node"), places(icmp, "request"))


@pytest.mark.parametrize("count", [2, 4])
def test_with_legacy_tables_they_take_turns(workers, traced_lab, count):
    load(traced_lab.node, LEGACY, "-A FORWARD -i veth2 -p udp -j DROP", "-A FORWARD -p tcp -j DROP")
    load(traced_lab.node, NFT, "-A FORWARD -p udp -j ACCEPT")
    documents = at_once(workers, traced_lab, *FOUR[:count])
    outcomes = ["reply_lost", "reply_lost", "request_lost", "delivered"]
    assert [document.verdict.outcome for document in documents] == outcomes[:count]
    for document in documents[:3]:
        culprit = document.verdict.culprit
        assert (culprit.backend, culprit.hook, document.verdict.confidence) == (LEGACY, "FORWARD", "observed")
    for document in documents:
        assert [(change.what, change.before) for change in document.capture.changes] == [
            ("net.netfilter.nf_log.2", "NONE")
        ]


def test_different_families(workers, traced_lab):
    for family, backend in ((4, LEGACY), (6, NFT)):
        load(traced_lab.node, backend, "-A FORWARD -p udp -j DROP", family=family)
    for process, family in zip(workers[:2], (4, 6), strict=True):
        start(process, traced_lab, "client", "server", "udp", family=family)
    documents = [result(process) for process in workers[:2]]
    assert [document.verdict.culprit.backend for document in documents] == [LEGACY, NFT]
    assert [document.verdict.culprit.family for document in documents] == ["ip", "ip6"]


def test_one_waits_for_an_answer_while_another_is_done(workers, preparation, traced_lab):
    load_native(traced_lab.node, "forward", "accept")
    with silent_socket(traced_lab.server, socket.SOCK_DGRAM, SILENT):
        start(workers[0], traced_lab, "client", "server", "udp", port=SILENT, timeout_s=2)
        wait_until_attached(preparation, traced_lab)
        started = time.monotonic()
        start(workers[1], traced_lab, "client", "server", "udp")
        quick = result(workers[1])
        assert time.monotonic() - started < 1.5
        slow = result(workers[0])
    assert (slow.verdict.outcome, quick.verdict.outcome) == ("no_reply", "delivered")
    assert_apart([slow, quick])


def test_where_there_is_no_room_between_two_priorities_one_waits(workers, preparation, traced_lab):
    """Behind the chain at 0 and before the one at 2 is one place: a link elsewhere would name the wrong chain."""
    load_native(traced_lab.node, "prerouting", MUTE, kind="filter at -440")
    load_native(traced_lab.node, "forward", "udp dport 5001 accept", kind="filter at 0")
    load_rules(traced_lab.node, ("nftables", "inet"), LATE_CHAIN, "the test")
    with silent_socket(traced_lab.server, socket.SOCK_DGRAM, SILENT):
        start(workers[0], traced_lab, "client", "server", "udp", port=SILENT, timeout_s=1)
        wait_until_attached(preparation, traced_lab)
        start(workers[1], traced_lab, "client", "server", "udp")
        first, second = map(result, workers[:2])
    assert first.verdict.outcome == "no_reply"
    assert (second.verdict.outcome, second.verdict.confidence) == ("request_lost", "inferred")
    assert (second.verdict.culprit.table, second.verdict.culprit.chain) == ("late", "c")


def test_the_one_that_waits_too_long_says_for_what(workers, preparation, traced_lab, monkeypatch):
    monkeypatch.setattr("tracer.capture.hook_links._BUSY_S", 0.1)
    load_native(traced_lab.node, "forward", "accept", kind="filter at 0")
    load_rules(traced_lab.node, ("nftables", "inet"), LATE_CHAIN, "the test")
    with silent_socket(traced_lab.server, socket.SOCK_DGRAM, SILENT):
        start(workers[0], traced_lab, "client", "server", "udp", port=SILENT, timeout_s=1)
        wait_until_attached(preparation, traced_lab)
        with pytest.raises(CannotTraceError, match=r"FORWARD of node has no free priority near 1\. Wait until other"):
            trace(preparation, traced_lab, "client", "server", "udp")
        assert result(workers[0]).verdict.outcome == "no_reply"


def wait_until_attached(preparation, lab):
    """Wait until a trace has put a link into the node's last hook."""
    deadline = time.monotonic() + SECONDS
    programs = preparation.programs.result()
    while not any(
        (entry.function, entry.hook) == (OUR_FUNCTION, "POSTROUTING") for entry in read_hooks(programs, [lab.node])
    ):
        assert time.monotonic() < deadline
