"""A trace that gets SIGKILL at a chosen line of tracer, again and again; test_trace_residue.py starts it.

It compiles the BPF programs once and says `ready`. Then each line of JSON on standard input is a run: a request as
trace_worker.py takes it, and `at`, the number of distinct lines of tracer after which the run is killed (null: not at
all). The run is a process of its own; when it has ended, a line of JSON tells its `pid`, how many `lines` it came to
where it was not killed, and whether it `died`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path

import trace_worker

import tracer
from tracer import preparation
from tracer.tracing import trace_flow

PACKAGE = str(Path(tracer.__file__).parent)


def watch_lines(at):
    """Count the distinct lines of tracer that are run, and kill this process at the one with the number `at`."""
    seen = set()

    def watch(frame, event, argument):
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        seen.add((frame.f_code.co_filename, frame.f_lineno))
        if len(seen) == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return watch

    threading.settrace(watch)
    sys.settrace(watch)
    return seen


def run(request, at, answer):
    """Trace, and write the number of lines that it took."""
    seen = watch_lines(at)
    with preparation.preparing() as prepared:
        trace_flow(request, prepared, lambda step: None)
    sys.settrace(None)
    os.write(answer, str(len(seen)).encode())


def main():
    programs = preparation._load_programs()
    preparation._load_programs = lambda: programs
    say("ready")
    for line in sys.stdin:
        values = json.loads(line)
        at = values.pop("at")
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            run(trace_worker.request(json.dumps(values)), at, writing)
            os._exit(0)
        os.close(writing)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        with os.fdopen(reading) as lines:
            say({"pid": child, "died": status == -signal.SIGKILL, "lines": int(lines.read() or 0)})


def say(value):
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
