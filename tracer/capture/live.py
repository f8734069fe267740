"""Capture with BPF on the running kernel: netfilter links, TCX and the kfree_skb tracepoint.

Everything that is attached hangs on a descriptor of this process and goes with it.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from tracer.capture import btf, layout
from tracer.capture.bpf_syscall import (
    ATTACH_TCX_EGRESS,
    ATTACH_TCX_INGRESS,
    link_netfilter,
    link_tcx,
    open_raw_tracepoint,
)
from tracer.capture.model import Watch
from tracer.capture.priorities import link_priorities
from tracer.capture.programs import Programs
from tracer.document import HookFunction
from tracer.endpoints.model import Device
from tracer.errors import CannotTraceError
from tracer.events import DeviceEvent, Event, FreedEvent, HookEvent, Leg
from tracer.netfilter.ruleset import HOOKS
from tracer.netns import Netns, run_in

_ENTRY_HOOKS = ("PREROUTING", "OUTPUT")  # where a packet enters a namespace, or is born in it
_LEGS: tuple[Leg, Leg] = ("request", "reply")
_BUSY_TRIES = 16  # as many traces at once find a place in one hook


class LiveCapture:
    """Follow one probe through the watched namespaces and devices; see tracer.capture.model.Capture."""

    netfilter: Literal["link"] = "link"
    veth: Literal["tcx"] = "tcx"

    def __init__(self, programs: Programs, watch: Watch, hooks: Sequence[HookFunction]) -> None:
        """Attach everything; `hooks` is what stood in the watched namespaces before. Raises CannotTraceError."""
        self._programs = programs
        self._labels = {netns.inum: netns.label for netns in watch.namespaces}
        self._devices: dict[tuple[int, int], str] = {}
        self._links: list[int] = []
        self._lost_before = programs.lost()
        self._reasons = btf.enumerators("skb_drop_reason")
        self._priorities = {
            (netns.inum, hook): link_priorities(_at(hooks, netns, watch.mark.family, hook))
            for netns in watch.namespaces
            for hook in HOOKS
        }
        try:
            self._attach(watch)
        except BaseException:
            self.close()
            raise

    def _attach(self, watch: Watch) -> None:
        self._programs.set_probe(layout.probe_bytes(watch.mark, watch.source_port))
        self._links.append(open_raw_tracepoint(self._programs.raw_tracepoint("freed"), "kfree_skb"))
        for netns in watch.namespaces:
            run_in(netns, lambda netns=netns: self._attach_in(netns, watch))  # type: ignore[misc]

    def _attach_in(self, netns: Netns, watch: Watch) -> None:
        self._devices.update({(netns.inum, index): name for index, name in socket.if_nameindex()})
        family = socket.AF_INET if watch.mark.family == 4 else socket.AF_INET6
        for device in watch.devices:
            if device.netns.inum == netns.inum:
                self._links.extend(self._link_device(device))
        for number, hook in enumerate(HOOKS):
            self._links.extend(self._link_hook(netns, family, number, hook))

    def _link_device(self, device: Device) -> Iterator[int]:
        for name, attach_type in (
            ("device_ingress", ATTACH_TCX_INGRESS),
            ("device_egress", ATTACH_TCX_EGRESS),
        ):
            try:
                yield link_tcx(self._programs.tcx(name, attach_type), device.index, attach_type)
            except OSError as error:
                raise CannotTraceError(
                    f"cannot watch device {device.name} of {device.netns.label}: {error.strerror}",
                    "The kernel needs TCX (6.6 or newer), and the device must still be there; see `tracer doctor`",
                ) from error

    def _link_hook(self, netns: Netns, family: int, number: int, hook: str) -> Iterator[int]:
        wanted = self._priorities[netns.inum, hook]
        for nth, priority in enumerate(wanted):
            is_entry = nth == 0 and hook in _ENTRY_HOOKS
            name = "netfilter_entry" if is_entry else "netfilter_passage"
            step = -1 if nth == 0 else 1
            yield _link_near(netns, self._programs.netfilter(name), family, number, priority, step)

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
        """Detach every program by closing its link; two threads may do so at once."""
        while self._links:
            os.close(self._links.pop())

    def _event(self, raw: layout.RawEvent) -> Event:
        netns = self._labels.get(raw.netns, f"netns:[{raw.netns}]")
        leg, skb = _LEGS[raw.leg], hex(raw.skb)
        if raw.kind == layout.KIND_HOOK:
            hook = HOOKS[raw.hook]
            priorities = self._priorities[raw.netns, hook]
            priority = priorities[min(raw.nth, len(priorities) - 1)]
            names = self._device(raw.netns, raw.device_in), self._device(raw.netns, raw.device_out)
            return HookEvent(raw.at_ns, netns, leg, skb, hook, priority, *names, raw.mark, raw.packet)
        if raw.kind == layout.KIND_FREED:
            reason = self._reasons.get(raw.reason, "")
            return FreedEvent(raw.at_ns, netns, leg, skb, raw.function, reason, raw.mark, raw.packet)
        direction: Literal["ingress", "egress"] = "ingress" if raw.kind == layout.KIND_INGRESS else "egress"
        device = self._device(raw.netns, raw.device_in)
        return DeviceEvent(raw.at_ns, netns, leg, skb, device, direction, raw.mark, raw.packet)

    def _device(self, netns: int, index: int) -> str:
        return self._devices.get((netns, index), f"device {index}") if index else ""


def _at(hooks: Iterable[HookFunction], netns: Netns, family: int, hook: str) -> list[HookFunction]:
    name = "ipv4" if family == 4 else "ipv6"
    return [entry for entry in hooks if (entry.netns, entry.family, entry.hook) == (netns.label, name, hook)]


def _link_near(netns: Netns, program: int, family: int, hook: int, priority: int, step: int) -> int:
    """Link at `priority`, or at the next free one: another trace's link may stand there."""
    for attempt in range(_BUSY_TRIES):
        try:
            return link_netfilter(program, family, hook, priority + attempt * step)
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise CannotTraceError(
                    f"the kernel refuses a BPF link in {HOOKS[hook]} of {netns.label}: {error.strerror}",
                    "Netfilter links need kernel 6.4 or newer; see `tracer doctor`",
                ) from error
    raise CannotTraceError(
        f"{HOOKS[hook]} of {netns.label} has no free priority near {priority}",
        "Wait until other traces have ended",
    )
