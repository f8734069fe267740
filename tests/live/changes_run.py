"""A run that sets two sysctls and undoes them, killed at one line after the other; test_residue.py starts it.

`python changes_run.py FOLDER NETNS ACTION` forks one run after the other. Each gets SIGKILL at a line of tracer
that no run before it died at, until one comes through. After each, the result is a line of JSON on standard
output, and a line on standard input asks for the next.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path

import tracer
from tracer.changes import Changes, recover
from tracer.netns import open_netns

NAMES = ("net.netfilter.nf_log.2", "net.netfilter.nf_log.10")
VALUE = "nfnetlink_log"
PACKAGE = str(Path(tracer.__file__).parent)


def set_and_restore(folder, netns):
    with Changes(folder) as changes:
        for name in NAMES:
            changes.set_sysctl(netns, name, VALUE)


def recover_and_nothing_else(folder, netns):
    recover(folder)


ACTIONS = {"set": set_and_restore, "recover": recover_and_nothing_else}


def kill_at(count):
    """Kill this process when it comes to the `count`th distinct line of tracer."""
    seen = set()

    def trace(frame, event, argument):
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        seen.add((frame.f_code.co_filename, frame.f_lineno))
        if len(seen) == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace

    threading.settrace(trace)
    sys.settrace(trace)


def main(folder, path, action):
    netns = open_netns("netns:test", path)
    count = 0
    died = True
    while died and sys.stdin.readline():
        count += 1
        child = os.fork()
        if child == 0:
            kill_at(count)
            ACTIONS[action](Path(folder), netns)
            os._exit(0)
        died = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        sys.stdout.write(json.dumps({"count": count, "died": died}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
