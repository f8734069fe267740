"""Carry out a step of a scenario's history or remedy in its namespace."""

from __future__ import annotations

from collections.abc import Mapping

from tracer.netns import Netns, run_in
from tracer.scenario import backends, base_sysctls, network
from tracer.scenario.model import (
    AddRoute,
    DeleteChains,
    DeleteRoute,
    Flush,
    LoadRules,
    LoadSets,
    SetPolicy,
    SetSysctl,
    Step,
)


def apply_step(step: Step, netns: Netns, files: Mapping[str, str]) -> None:
    """Carry out one step; `files` are the texts of the scenario's rule files.

    Raise UsageError when a program refuses what the scenario says, CannotTraceError when the machine cannot do it.
    """
    if isinstance(step, LoadRules):
        backends.load_rules(netns, (step.backend, step.family or "ip"), files[step.file], step.file)
    elif isinstance(step, LoadSets):
        backends.load_sets(netns, files[step.file], step.file)
    elif isinstance(step, Flush | DeleteChains | SetPolicy):
        _change_rules(step, netns)
    else:
        run_in(netns, lambda: _change_network(step))


def _change_rules(step: Flush | DeleteChains | SetPolicy, netns: Netns) -> None:
    rules = (step.backend, step.family)
    if isinstance(step, Flush):
        backends.flush(netns, rules, step.tables)
    elif isinstance(step, DeleteChains):
        backends.delete_chains(netns, rules, step.table, step.chains)
    else:
        backends.set_policy(netns, rules, step.table, step.chain, step.policy)


def _change_network(step: SetSysctl | AddRoute | DeleteRoute) -> None:
    if isinstance(step, SetSysctl):
        base_sysctls.set_all([(step.key, step.value)])
    else:
        network.change_route("add" if isinstance(step, AddRoute) else "delete", step.route)
