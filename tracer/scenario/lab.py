"""Build a scenario out of network namespaces that nobody but this process holds, and take it down again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

from tracer.endpoints.model import Endpoint, NetnsEndpoint, NodeEndpoint
from tracer.endpoints.parse import parse_endpoint
from tracer.errors import UsageError
from tracer.netns import Netns, run_in
from tracer.scenario import base_sysctls, namespace, network, responders
from tracer.scenario.load import LoadedScenario
from tracer.scenario.model import ProbeFamily, label
from tracer.scenario.steps import apply_step
from tracer.scenario.topology import NetnsPlan, Topology, plan


@dataclass(frozen=True)
class Lab:
    """A scenario that stands: its plan, and its namespaces by the scenario's names for them.

    The namespaces open from `/proc/PID/fd/N` as long as the context of `build` lasts, also for other processes.
    """

    loaded: LoadedScenario
    topology: Topology
    netnses: dict[str, Netns]

    def netns(self, name: str) -> Netns:
        """Return a node's, pod's or host's namespace; raise UsageError for a name that the scenario has not."""
        if name not in self.netnses:
            raise UsageError(
                f"the scenario {self.loaded.scenario.name} has no {name}", f"It has: {', '.join(self.netnses)}"
            )
        return self.netnses[name]

    @property
    def node(self) -> NetnsEndpoint:
        """The node by the path that it opens from, as what the other endpoints are on."""
        return NetnsEndpoint("node", self.netns("node").path)

    def endpoint(self, end: str) -> Endpoint:
        """Return a probe's source or destination as an endpoint; raise UsageError when it is none.

        What is not one of the scenario's names is an address.
        """
        if end == "node":
            return NodeEndpoint()
        if end in self.netnses:
            return NetnsEndpoint(label(end), self.netnses[end].path)
        return parse_endpoint(end)

    def address(self, end: str, family: ProbeFamily) -> str:
        """Return the first address of a node, pod or host; raise UsageError when it has none of that family."""
        self.netns(end)
        (netns,) = (netns for netns in self.topology.netnses if netns.name == end)
        addresses = netns.addresses(4 if family == "ipv4" else 6)
        if not addresses:
            raise UsageError(f"{end} has no {family} address", "Name another end, or the other family")
        return addresses[0]

    def apply_remedy(self) -> None:
        """Carry out the scenario's remedy, step by step."""
        for step in self.loaded.scenario.remedy:
            apply_step(step, self.netns(step.netns), self.loaded.files)


@contextmanager
def build(loaded: LoadedScenario) -> Iterator[Lab]:
    """Build a scenario's lab for the length of the context, with its history and its responders.

    Whatever ends the context, also an exception or Ctrl-C while it is built, closes every socket and namespace; a
    process that is killed leaves nothing either, since the kernel closes the same descriptors.

    Raise CannotTraceError when this machine cannot build it, UsageError when a backend refuses its rules.
    """
    topology = plan(loaded.scenario)
    with ExitStack() as stack:
        descriptors: dict[str, int] = {}
        netnses: dict[str, Netns] = {}
        for netns in topology.netnses:
            descriptors[netns.name], netnses[netns.name] = namespace.create(label(netns.name))
            stack.callback(os.close, descriptors[netns.name])
        _connect(topology, netnses, descriptors)
        lab = Lab(loaded, topology, netnses)
        for step in loaded.scenario.history:
            apply_step(step, lab.netns(step.netns), loaded.files)
        _start_responders(lab, stack)
        yield lab


def _connect(topology: Topology, netnses: dict[str, Netns], descriptors: dict[str, int]) -> None:
    for netns in topology.netnses:
        run_in(netnses[netns.name], partial(_set_sysctls, netns))
    for name, here in netnses.items():
        veths = tuple(ends for ends in topology.veths if ends[0].netns == name)
        run_in(here, partial(network.create_veths, veths, descriptors))
    for stage in (network.configure, network.connect):
        # Pods first: a bridge that comes up after its ports has its carrier at once, otherwise within a second.
        for netns in reversed(topology.netnses):
            run_in(netnses[netns.name], partial(stage, netns))


def _set_sysctls(netns: NetnsPlan) -> None:
    base_sysctls.set_base()
    base_sysctls.set_all(netns.sysctls)


def _start_responders(lab: Lab, stack: ExitStack) -> None:
    opened = []
    for netns in lab.topology.netnses:
        for listener in netns.listeners:
            listening = run_in(lab.netns(netns.name), partial(responders.open_listener, listener))
            opened.append((listener, stack.enter_context(listening)))
    stack.enter_context(responders.answering(opened))
