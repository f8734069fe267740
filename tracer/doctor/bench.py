"""What the doctor tries things on: a network namespace that nobody else has, and what a trace has of its own."""

from __future__ import annotations

import os
import secrets
from contextlib import ExitStack
from functools import cached_property
from typing import TYPE_CHECKING

from tracer.errors import CannotTraceError
from tracer.netfilter.evidence.signature import ProbeMark
from tracer.netns import Netns, run_in
from tracer.probe.builder import start_builder
from tracer.scenario.namespace import create

if TYPE_CHECKING:
    from tracer.capture.programs import Programs
    from tracer.netfilter.evidence.mark import Mark

_DEVICE = "bench0"


class Bench:
    """Each property is made when a trial first asks for it, or CannotTraceError is raised; it goes with `stack`."""

    def __init__(self, stack: ExitStack) -> None:
        """Start the process that makes probes, where scapy loads meanwhile."""
        self._stack = stack
        self.builder = stack.enter_context(start_builder())

    @cached_property
    def programs(self) -> Programs:
        """The BPF programs, compiled; none is loaded yet."""
        from tracer.capture.programs import Programs

        return Programs()

    @cached_property
    def netns(self) -> Netns:
        """A namespace without a name, which goes with its only descriptor."""
        descriptor, netns = create("the doctor's bench")
        self._stack.callback(os.close, descriptor)
        return netns

    @cached_property
    def device(self) -> int:
        """The ifindex of a veth in the namespace."""
        return run_in(self.netns, _make_veth)

    @cached_property
    def mark(self) -> Mark:
        """The table that marks a probe's packets, in the namespace."""
        from tracer.netfilter.evidence.mark import mark_flow

        probe = ProbeMark("icmp", 4, secrets.token_bytes(16))
        return self._stack.enter_context(mark_flow(self.netns, probe))


def _make_veth() -> int:
    from pyroute2 import IPRoute
    from pyroute2.netlink.exceptions import NetlinkError

    try:
        with IPRoute() as route:
            route.link("add", ifname=_DEVICE, kind="veth", peer={"ifname": "bench1"})
            (index,) = route.link_lookup(ifname=_DEVICE)
    except NetlinkError as error:
        raise CannotTraceError(
            f"cannot make a veth pair: {os.strerror(error.code)}", "Load the driver: modprobe veth"
        ) from error
    return int(index)
