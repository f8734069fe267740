"""Trace one flow: endpoints → probe and capture → events → journey → verdict → findings → document."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timezone

from tracer import __version__, document
from tracer.capture.hook_functions import read_hooks
from tracer.capture.live import LiveCapture
from tracer.capture.model import Capture, Watch
from tracer.changes import Changes, recover
from tracer.conclude import conclude
from tracer.endpoints.model import End, Endpoint, Protocol, ResolvedFlow
from tracer.endpoints.resolve import resolve_flow
from tracer.events import Event
from tracer.netfilter.evidence.signature import ProbeMark
from tracer.netfilter.rule_texts import notes_on, read_texts, summaries
from tracer.netns import Netns
from tracer.netns_lock import lock_netns
from tracer.packet import IpFamily
from tracer.preparation import Preparation
from tracer.probe.answers import answer_event
from tracer.probe.model import Probe, new_token, probe_for
from tracer.probe.sockets import ProbeSockets, open_sockets
from tracer.rule_evidence import RuleEvidence, with_legacy_tables, without_marks
from tracer.settled import settled_at
from tracer.watched import watched

_LOCK_TIMEOUT_S = 30.0

Tell = Callable[[str], None]


@dataclass(frozen=True)
class TraceRequest:
    """What to trace; `family` and `port` are chosen where they are None, `timeout_s` bounds the wait for an answer.

    `known` are namespaces that have neither a name in /run/netns nor a process, such as a lab's.
    """

    source: Endpoint
    destination: Endpoint
    node: Endpoint
    protocol: Protocol
    port: int | None
    family: IpFamily | None
    timeout_s: float
    known: tuple[Netns, ...] = ()


def trace_flow(request: TraceRequest, preparation: Preparation, tell: Tell) -> document.TraceDocument:
    """Send one probe and return what became of it; `tell` hears in a few words what is being waited for.

    Raises UsageError for a flow that makes no sense, and CannotTraceError when this machine cannot trace it.
    Everything that was set is undone when this returns, also by an exception; only the devices' programs, which pass
    every packet on, may still be going until the preparation's context ends.
    """
    started = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
    recover()
    tell("looking for the endpoints")
    flow = resolve_flow(
        request.source,
        request.destination,
        protocol=request.protocol,
        port=request.port,
        family=request.family,
        node=request.node,
        known=request.known,
    )
    namespaces, devices = watched(flow, request.known)
    with ExitStack() as stack:
        texts = stack.enter_context(ThreadPoolExecutor(1)).submit(read_texts, namespaces, flow.family)
        sockets = stack.enter_context(open_sockets(flow))
        tell("compiling the BPF programs")
        probe = preparation.builder.complete(probe_for(flow, new_token(), sockets.source_port))
        mark = _probe_mark(probe)
        programs = preparation.programs.result()
        capture = LiveCapture(programs, Watch(mark, probe.source_port, namespaces, devices))
        stack.callback(preparation.aside.submit, capture.close_devices)
        stack.callback(capture.close)
        attached = preparation.aside.submit(capture.attach_devices)
        hooks = without_marks(read_hooks(programs, namespaces))
        legacy = with_legacy_tables(namespaces, hooks)
        stack.enter_context(lock_netns(legacy, lambda netns, pid: tell(_waiting(netns, pid)), _LOCK_TIMEOUT_S))
        changes = stack.enter_context(Changes())
        rules = texts.result()  # before the mark, which is a change of nf_tables in the middle of what is read
        evidence = RuleEvidence(stack, changes, mark)
        evidence.listen(namespaces, hooks)
        capture.attach_hooks(hooks)
        attached.result()
        tell("waiting for the answer")
        events = _observe(capture, evidence, sockets, probe, request.timeout_s)
        lost = capture.lost() + evidence.lost()
    events += evidence.events(rules)
    seen = document.Capture(
        netfilter=capture.netfilter,
        veth=capture.veth,
        rules=evidence.sources,
        events=len(events),
        lost=lost,
        changes=changes.listing(),
        notes=(*flow.notes, *notes_on(rules), *changes.notes),
    )
    return conclude(_flow(flow, probe), _host(started), seen, hooks, summaries(rules), events)


def _observe(
    capture: Capture, evidence: RuleEvidence, sockets: ProbeSockets, probe: Probe, timeout_s: float
) -> list[Event]:
    """Send the probe and collect events until its fate is settled, or until `timeout_s` has passed."""
    poller = select.poll()
    for descriptor in (capture.fileno(), *evidence.filenos(), *sockets.filenos()):
        poller.register(descriptor, select.POLLIN)
    evidence.discard()
    events: list[Event] = [sockets.send(probe)]
    deadline = time.monotonic_ns() + int(timeout_s * 1e9)

    def read() -> None:
        events.extend(answer_event(answer, sockets.netns.label) for answer in sockets.read(probe))
        events.extend(capture.read())
        evidence.read()

    while True:
        read()
        settled = settled_at(events)
        until = deadline if settled is None else min(settled, deadline)
        remaining = until - time.monotonic_ns()
        if remaining <= 0:
            break
        poller.poll(remaining / 1e6)
    read()  # what the packet filters said last was queued before its freeing was seen
    return events


def _probe_mark(probe: Probe) -> ProbeMark:
    sequence = probe.tcp_sequence if probe.protocol == "tcp" else None
    return ProbeMark(probe.protocol, probe.family, probe.token, sequence)


def _waiting(netns: Netns, pid: int | None) -> str:
    return f"waiting for another trace in {netns.label}" + (f" (pid {pid})" if pid else "")


def _flow(flow: ResolvedFlow, probe: Probe) -> document.Flow:
    source = _place(flow.source, probe.source_port)
    return document.Flow(flow.protocol, probe.token.hex(), source, _place(flow.destination, flow.port))


def _place(end: End, port: int | None) -> document.Place:
    return document.Place(
        endpoint=end.label,
        netns=end.netns.label if end.netns else "",
        address=end.address,
        port=port,
        device=end.device.name if end.device else None,
        host_device=end.host_device.name if end.host_device else None,
    )


def _host(started: str) -> document.Host:
    return document.Host(os.uname().nodename, os.uname().release, __version__, started)
