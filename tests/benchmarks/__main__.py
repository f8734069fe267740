"""Measure what tracer costs: `python -m tests.benchmarks`, as root, on a machine with nothing else to do.

It prints the time from a process's start to its verdict, what a bystander's packet pays while a trace waits, and the
same traffic under `tcpdump -i VETH` and `nft monitor trace`. Everything happens in network namespaces of its own.
"""

from __future__ import annotations

import argparse

from tests.benchmarks import bystander, latency
from tests.benchmarks.labs import bare_lab, filtered_lab


def main() -> None:
    """Run the benchmarks and print their figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--runs", type=int, default=11, help="runs of each command; medians are printed")
    parser.add_argument("--rounds", type=int, default=7, help="rounds of traffic, untraced and traced in turn")
    options = parser.parse_args()
    with filtered_lab() as lab:
        latency.print_figures(lab, options.runs)
    for name, make in (("no rules", bare_lab), ("Calico and kube-proxy in both backends", filtered_lab)):
        with make() as lab:
            bystander.print_figures(name, lab, options.rounds)


main()
