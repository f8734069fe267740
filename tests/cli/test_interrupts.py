"""Interrupts arrive where they do no harm, and are not lost."""

from __future__ import annotations

import subprocess
import sys

import pytest
from tracer_command import environment

LISTEN = """
import os, signal, sys, time, weakref
from tracer.cli import interrupts
interrupts.listen()

def until_interrupted():
    deadline = time.monotonic() + 20
    try:
        while time.monotonic() < deadline:
            pass
        print("lost")
    except interrupts.Interrupted:
        print("interrupted")
"""


def run(code, *under, path=""):
    done = subprocess.run(
        [*under, sys.executable, "-c", LISTEN + code],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=environment(PYTHONPATH=str(path)),
    )
    return done.returncode, done.stdout.split(), done.stderr


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_signal_interrupts(name):
    code = f"""
try:
    os.kill(os.getpid(), signal.{name})
    until_interrupted()
except interrupts.Interrupted:
    print("interrupted")
"""
    assert run(code) == (0, ["interrupted"], "")


def test_import_is_finished_first(tmp_path):
    """What it leaves half done, such as a lock of importlib's, is never made up for."""
    (tmp_path / "interrupted.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\ndone = True\n")
    code = "import interrupted\nprint(interrupted.done)\nuntil_interrupted()"
    assert run(code, path=tmp_path) == (0, ["True", "interrupted"], "")


def test_destructor_does_not_swallow_it():
    code = """
class Thing:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        print("deleted")
Thing()
until_interrupted()
"""
    status, said, errors = run(code)
    assert (status, said[-1], errors) == (0, "interrupted", "")


def test_other_errors_in_destructors_are_still_told():
    code = """
class Thing:
    def __del__(self):
        raise ValueError("on purpose")
Thing()
"""
    status, _, errors = run(code)
    assert status == 0
    assert "ValueError: on purpose" in errors


def test_what_the_caller_ignores_stays_ignored():
    code = "os.kill(os.getpid(), signal.SIGHUP)\nprint('goes on')"
    assert run(code, "nohup") == (0, ["goes", "on"], "")


def test_nothing_interrupts_after_the_end():
    code = """
interrupts.ignore()
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
    os.kill(os.getpid(), number)
print("goes on")
"""
    assert run(code) == (0, ["goes", "on"], "")
