"""The labs that the benchmarks run in."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import msgspec

from tracer.netns import Netns
from tracer.scenario.lab import Lab, build
from tracer.scenario.load import find, load


@dataclass(frozen=True)
class BenchLab:
    """A node, a pod whose packets reach it, and one whose packets do not, if there are rules."""

    node: Netns
    pod: Netns
    lossy: Netns
    node_address: str
    host_device: str


@contextmanager
def filtered_lab() -> Iterator[BenchLab]:
    """Build the flagship: rules of Calico and kube-proxy in both backends, one pod that works and one that does not."""
    loaded = load(find("calico-backend-split"))
    with build(loaded) as lab:
        yield _bench_lab(lab)


@contextmanager
def bare_lab() -> Iterator[BenchLab]:
    """Build the flagship's wiring without any rule."""
    loaded = load(find("calico-backend-split"))
    scenario = msgspec.structs.replace(loaded.scenario, history=())
    with build(dataclasses.replace(loaded, scenario=scenario)) as lab:
        yield _bench_lab(lab)


def _bench_lab(lab: Lab) -> BenchLab:
    pods = {pod.name: pod for pod in lab.loaded.scenario.pods}
    (uplink,) = lab.loaded.scenario.links
    node_address = uplink.ends[0].addresses[0].partition("/")[0]
    return BenchLab(lab.netns("node"), lab.netns("old"), lab.netns("new"), node_address, pods["old"].host_device)
