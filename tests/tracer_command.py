"""Run the command line as users do, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
NOT_ROOT = "import os, sys; os.geteuid = lambda: 1000; sys.argv[0] = 'tracer'; from tracer.__main__ import main; main()"


def command(*arguments: str, under: Sequence[str] = (), code: str | None = None) -> list[str]:
    """Return the command `tracer ARGUMENTS`, run by the program `under`, or Python's `code` in place of the module."""
    program = ["-m", "tracer"] if code is None else ["-c", code]
    return [*under, sys.executable, *program, *arguments]


def environment(**variables: str) -> dict[str, str]:
    """Return our environment with this checkout's modules in it; PYTHONPATH is put in front of them."""
    path = os.pathsep.join(filter(None, (variables.pop("PYTHONPATH", ""), str(ROOT))))
    return {**os.environ, "PYTHONPATH": path, **variables}


def tracer(
    *arguments: str, under: Sequence[str] = (), code: str | None = None, timeout_s: float = 60, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run `tracer ARGUMENTS` with environment variables of its own."""
    return subprocess.run(
        command(*arguments, under=under, code=code),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
        env=environment(**variables),
    )


def complaint(done: subprocess.CompletedProcess[str], status: int) -> str:
    """Return the one sentence (and its way out) that a run has said before it ended with `status`, and nothing else."""
    assert (done.returncode, done.stdout) == (status, ""), done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("tracer: ")
    return line.removeprefix("tracer: ")
