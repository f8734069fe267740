"""From a process's start to its printed verdict."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from tests.benchmarks.labs import BenchLab


def print_figures(lab: BenchLab, runs: int) -> None:
    """Print the median time of a delivered probe, a lost one, and of `--help`."""
    node = f"netns:{lab.node.path}"
    commands = {
        "delivered": ["trace", f"netns:{lab.pod.path}", "node", "--node", node],
        "lost": ["trace", f"netns:{lab.lossy.path}", "node", "--node", node],
        "--help": ["--help"],
    }
    print(f"time from process start to printed verdict, {runs} runs")
    for name, arguments in commands.items():
        _until_printed(arguments)  # the first run reads the disk
        times = [_until_printed(arguments) for _ in range(runs)]
        figures = statistics.median(times), min(times), max(times)
        print(f"  {name:10} median {figures[0]:.3f} s   min {figures[1]:.3f} s   max {figures[2]:.3f} s")


def _until_printed(arguments: list[str]) -> float:
    """Return the seconds until the first line is on standard output: the verdict."""
    command = [sys.executable, "-m", "tracer", *arguments]
    start = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        elapsed = time.monotonic() - start
        _, error = process.communicate()
    if not line or process.returncode not in (0, 1):
        raise SystemExit(f"{' '.join(command)} failed: {error.decode()}")
    return elapsed
