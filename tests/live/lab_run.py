"""Build a lab in a process that a test can kill: lab_run.py SCENARIO STOP.

It stops before the piece of work that has the number STOP, says which namespaces it holds, and waits for its standard
input to end; without so many pieces it stops when the lab stands. A Ctrl-C makes it say what it still holds then.
"""

from __future__ import annotations

import json
import signal
import sys
from itertools import count
from pathlib import Path

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS.parent), str(TESTS)]

from live.netns_in_use import held_here  # noqa: E402

from tracer.scenario import lab  # noqa: E402
from tracer.scenario.load import find, load  # noqa: E402

pieces = count(1)


def say_what_is_held():
    sys.stdout.write(f"{json.dumps(sorted(held_here()))}\n")
    sys.stdout.flush()


def stop():
    say_what_is_held()
    sys.stdin.read()


def stopping(work):
    def piece(*arguments):
        if next(pieces) == int(sys.argv[2]):
            stop()
        return work(*arguments)

    return piece


# A shell's background jobs, and so tests that run as one, ignore SIGINT.
signal.signal(signal.SIGINT, signal.default_int_handler)
lab.run_in = stopping(lab.run_in)
lab.apply_step = stopping(lab.apply_step)
try:
    with lab.build(load(find(sys.argv[1]))):
        stop()
except KeyboardInterrupt:
    say_what_is_held()
