"""Capture with BPF on the running kernel: netfilter links, TCX and the kfree_skb tracepoint.

Everything that is attached hangs on a descriptor of this process and goes with it.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Literal

from tracer.capture import btf, layout
from tracer.capture.bpf_syscall import open_raw_tracepoint
from tracer.capture.devices import link_devices
from tracer.capture.hook_links import link_hooks
from tracer.capture.model import Watch
from tracer.capture.priorities import link_priorities
from tracer.capture.programs import Programs
from tracer.document import HookFunction
from tracer.endpoints.model import Device
from tracer.events import DeviceEvent, Event, FreedEvent, HookEvent, Leg
from tracer.netfilter.ruleset import HOOKS
from tracer.netns import Netns, run_in
from tracer.packet import without_trailer

_LEGS: tuple[Leg, Leg] = ("request", "reply")


class LiveCapture:
    """Follow one probe through the watched namespaces and devices; see tracer.capture.model.Capture.

    Attach devices and hooks before the probe is sent. Devices have calls of their own because the kernel takes its time
    with them: they may be attached and detached in another thread.
    """

    netfilter: Literal["link"] = "link"
    veth: Literal["tcx"] = "tcx"

    def __init__(self, programs: Programs, watch: Watch) -> None:
        """Look out for drops, and attach nothing else yet. Raises OSError."""
        self._programs = programs
        self._watch = watch
        self._labels = {netns.inum: netns.label for netns in watch.namespaces}
        self._names: dict[tuple[int, int], str] = {}
        self._priorities: dict[int, dict[str, tuple[int, ...]]] = {}
        self._device_links: list[int] = []
        self._lost_before = programs.lost()
        self._reasons = btf.enumerators("skb_drop_reason")
        programs.set_probe(layout.probe_bytes(watch.mark, watch.source_port))
        self._links = [open_raw_tracepoint(programs.raw_tracepoint("freed"), "kfree_skb")]

    def attach_devices(self) -> None:
        """Watch the devices. Raises CannotTraceError."""
        for netns in self._watch.namespaces:
            devices = [device for device in self._watch.devices if device.netns.inum == netns.inum]
            run_in(netns, partial(self._attach_devices, netns, devices))

    def _attach_devices(self, netns: Netns, devices: Sequence[Device]) -> None:
        self._names.update({(netns.inum, index): name for index, name in socket.if_nameindex()})
        self._device_links.extend(link_devices(self._programs, devices))

    def attach_hooks(self, hooks: Sequence[HookFunction]) -> None:
        """Watch the hooks; `hooks` is what stood in them before. Raises CannotTraceError."""
        version = self._watch.mark.family
        for netns in sorted(self._watch.namespaces, key=lambda netns: netns.inum):  # or two traces wait for each other
            priorities = {hook: link_priorities(_at(hooks, netns, version, hook)) for hook in HOOKS}
            self._priorities[netns.inum] = priorities
            run_in(netns, partial(self._attach_hooks, netns, priorities))

    def _attach_hooks(self, netns: Netns, priorities: dict[str, tuple[int, ...]]) -> None:
        self._links.extend(link_hooks(self._programs, netns, self._watch.mark.family, priorities))

    def fileno(self) -> int:
        """Return the ring buffer's descriptor, which polls readable when there are events."""
        return self._programs.events_descriptor()

    def read(self) -> list[Event]:
        """Return the events that have come in since the last call."""
        return [self._event(event) for event in self._programs.events()]

    def lost(self) -> int:
        """Return how many events found the ring buffer full."""
        return self._programs.lost() - self._lost_before

    def close(self) -> None:
        """Detach the programs from the hooks and from kfree_skb."""
        _close(self._links)

    def close_devices(self) -> None:
        """Detach the programs from the devices."""
        _close(self._device_links)

    def _event(self, raw: layout.RawEvent) -> Event:
        netns = self._labels.get(raw.netns, f"netns:[{raw.netns}]")
        leg, skb, packet = _LEGS[raw.leg], hex(raw.skb), without_trailer(raw.packet)
        if raw.kind == layout.KIND_HOOK:
            hook = HOOKS[raw.hook]
            priorities = self._priorities[raw.netns][hook]
            priority = priorities[min(raw.nth, len(priorities) - 1)]
            names = self._device(raw.netns, raw.device_in), self._device(raw.netns, raw.device_out)
            return HookEvent(raw.at_ns, netns, leg, skb, hook, priority, *names, raw.mark, packet)
        if raw.kind == layout.KIND_FREED:
            reason = self._reasons.get(raw.reason, "")
            return FreedEvent(raw.at_ns, netns, leg, skb, raw.function, reason, raw.mark, packet)
        direction: Literal["ingress", "egress"] = "ingress" if raw.kind == layout.KIND_INGRESS else "egress"
        device = self._device(raw.netns, raw.device_in)
        return DeviceEvent(raw.at_ns, netns, leg, skb, device, direction, raw.mark, packet)

    def _device(self, netns: int, index: int) -> str:
        return self._names.get((netns, index), f"device {index}") if index else ""


def _at(hooks: Iterable[HookFunction], netns: Netns, family: int, hook: str) -> list[HookFunction]:
    name = "ipv4" if family == 4 else "ipv6"
    return [entry for entry in hooks if (entry.netns, entry.family, entry.hook) == (netns.label, name, hook)]


def _close(descriptors: list[int]) -> None:
    while descriptors:
        os.close(descriptors.pop())
