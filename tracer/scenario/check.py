"""What the types of the format cannot say: names used once, references that lead somewhere, values that fit."""

from __future__ import annotations

from collections.abc import Iterator

from tracer.scenario.check_network import (
    address_version,
    addresses_of,
    devices_of,
    namespace_paths,
    network_problems,
    route_problems,
    sysctl_problems,
)
from tracer.scenario.model import (
    AddRoute,
    DeleteChains,
    DeleteRoute,
    Expectation,
    Flush,
    LoadRules,
    Probe,
    Scenario,
    SetPolicy,
    SetSysctl,
    Step,
    namespaces,
)
from tracer.scenario.problem import Problem, repeated, unknown

_XTABLES = frozenset({"raw", "mangle", "nat", "filter", "security"})  # xtables-nft(8): the tables there are


def problems(scenario: Scenario) -> Iterator[Problem]:
    """Yield what is wrong with a decoded scenario. Only the first may be relied on: later ones may follow from it."""
    yield from _names(scenario)
    yield from network_problems(scenario)
    for key in ("history", "remedy"):
        for number, step in enumerate(getattr(scenario, key)):
            yield from _step(scenario, step, f"{key}[{number}]")
    for number, probe in enumerate(scenario.probes):
        yield from _probe(scenario, probe, f"probes[{number}]")


def _names(scenario: Scenario) -> Iterator[Problem]:
    yield from repeated(
        ((f"{path}.name", namespace.name) for path, namespace in namespace_paths(scenario)),
        "Nodes, pods and hosts share one space of names: give each its own",
    )
    yield from repeated(
        ((f"probes[{number}].name", probe.name) for number, probe in enumerate(scenario.probes)),
        "Give each probe its own name",
    )
    if not any(node.name == "node" for node in scenario.nodes):
        yield Problem("nodes", "none of them is called node", "Call the node that is traced `node`")


def _step(scenario: Scenario, step: Step, path: str) -> Iterator[Problem]:
    known = {namespace.name for namespace in namespaces(scenario)}
    if step.netns not in known:
        yield unknown(f"{path}.netns", step.netns, known)
    elif isinstance(step, SetSysctl):
        yield from sysctl_problems(step.key, f"{path}.key")
    elif isinstance(step, AddRoute | DeleteRoute):
        yield from route_problems(step.route, devices_of(scenario, step.netns), f"{path}.route")
    elif isinstance(step, LoadRules) and step.backend == "nftables" and step.family is not None:
        yield Problem(f"{path}.family", "an nft file names its own families", "Leave the key out")
    elif isinstance(step, Flush | DeleteChains | SetPolicy) and step.backend != "nftables":
        yield from _xtables_step(step, path)


def _xtables_step(step: Flush | DeleteChains | SetPolicy, path: str) -> Iterator[Problem]:
    if step.family not in {"ip", "ip6"}:
        yield Problem(f"{path}.family", f"{step.backend} has no family {step.family}", "Use ip or ip6")
    for table in step.tables if isinstance(step, Flush) else (step.table,):
        if table not in _XTABLES:
            yield Problem(path, f"{step.backend} has no table {table}", f"There are: {', '.join(sorted(_XTABLES))}")


def _probe(scenario: Scenario, probe: Probe, path: str) -> Iterator[Problem]:
    known = {namespace.name for namespace in namespaces(scenario)}
    version = 4 if probe.family == "ipv4" else 6
    if probe.source not in known:
        yield unknown(f"{path}.source", probe.source, known)
        return
    if probe.source == probe.destination:
        yield Problem(f"{path}.destination", "it is the source too", "Probe another namespace or address")
    if probe.destination not in known and address_version(probe.destination) is None:
        yield unknown(f"{path}.destination", probe.destination, known)
        return
    for key in ("source", "destination"):
        yield from _probe_family(scenario, getattr(probe, key), version, f"{path}.{key}")
    yield from _port(probe, path)
    for key in ("expect", "expect_after"):
        yield from _expectation(getattr(probe, key), known, f"{path}.{key}")


def _probe_family(scenario: Scenario, end: str, version: int, path: str) -> Iterator[Problem]:
    addresses = {end} if address_version(end) else addresses_of(scenario, end)
    if version not in {address_version(address) for address in addresses}:
        yield Problem(path, f"{end} has no IPv{version} address", "Give it one, or probe with the other family")


def _port(probe: Probe, path: str) -> Iterator[Problem]:
    if probe.protocol == "icmp" and probe.port is not None:
        yield Problem(f"{path}.port", "ICMP has no ports", "Leave the key out, or probe with udp, tcp or dns")
    if probe.protocol in {"udp", "tcp"} and probe.port is None:
        yield Problem(path, f"a {probe.protocol} probe needs a port", "Add the key `port`")


def _expectation(expected: Expectation, known: set[str], path: str) -> Iterator[Problem]:
    if expected.culprit is None:
        return
    if expected.outcome == "delivered":
        yield Problem(f"{path}.culprit", "what was delivered has no culprit", "Leave the key out")
    if expected.culprit.netns not in known:
        yield unknown(f"{path}.culprit.netns", expected.culprit.netns, known)
