"""Help is quick: nothing that takes long to import is imported for it."""

from __future__ import annotations

import subprocess
import sys

import pytest
from tracer_command import environment, tracer

SLOW = {"bcc", "scapy", "pyroute2", "rich", "msgspec", "yaml"}
COMMANDS = ("trace", "replay", "hooks", "doctor", "cleanup")


def imported(*arguments):
    """Return the top-level modules that `tracer ARGUMENTS` imports."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "tracer", *arguments],
        capture_output=True,
        text=True,
        check=True,
        env=environment(),
    )
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], *([command, "--help"] for command in COMMANDS)])
def test_nothing_slow_is_imported(arguments):
    modules = imported(*arguments)
    assert "click" in modules
    assert modules & SLOW == set()


def test_something_slow_is_imported_to_work():
    """Or the test above would pass whatever is imported."""
    assert "msgspec" in imported("replay", "healthy", "--recorded")


def test_every_command_is_listed_with_what_it_does():
    done = tracer("--help")
    assert (done.returncode, done.stderr) == (0, "")
    for command in COMMANDS:
        (line,) = (line for line in done.stdout.splitlines() if line.strip().startswith(f"{command} "))
        assert line.endswith(".")
        assert tracer(command, "-h").stdout.startswith(f"Usage: tracer {command}")
