"""One trace at a time in a network namespace: NFLOG group 0 has one listener, and nf_log one setting.

The lock (flock(2)) is on the namespace's own inode in nsfs. It needs no file of ours, is the same by whichever
path and from whichever mount namespace that is opened, and goes with the process that holds it.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tracer.errors import CannotTraceError
from tracer.netns import Netns, open_descriptor

_POLL_S = 0.02


@contextmanager
def lock_netns(
    namespaces: Iterable[Netns], on_wait: Callable[[Netns, int | None], None], timeout_s: float
) -> Iterator[None]:
    """Keep other runs out of `namespaces` as long as the context lasts.

    Where another run is there first, call `on_wait` once with the namespace and that run's process number
    (None when it is in another PID namespace), and wait. Raise CannotTraceError after `timeout_s` seconds in all.
    """
    deadline = time.monotonic() + timeout_s
    by_inum = {netns.inum: netns for netns in namespaces}
    with ExitStack() as stack:
        for inum in sorted(by_inum):  # one order for every run, or two could wait for each other
            descriptor = open_descriptor(by_inum[inum])
            stack.callback(os.close, descriptor)
            if not _try_lock(descriptor):
                on_wait(by_inum[inum], holder(inum))
                _wait_for_lock(descriptor, by_inum[inum], deadline)
        yield


def holder(inum: int) -> int | None:
    """Return the number of the process that holds the lock of this namespace, from proc_locks(5)."""
    for line in Path("/proc/locks").read_text().splitlines():
        fields = line.split()
        if fields[1] == "FLOCK" and fields[5].endswith(f":{inum}"):
            return int(fields[4])
    return None


def _wait_for_lock(descriptor: int, netns: Netns, deadline: float) -> None:
    while not _try_lock(descriptor):
        if time.monotonic() > deadline:
            pid = holder(netns.inum)
            who = f"process {pid}" if pid else "a process in another PID namespace"
            raise CannotTraceError(
                f"{who} is tracing in the network namespace of {netns.label}, and goes on",
                "Wait until it has ended, and trace again",
            )
        time.sleep(_POLL_S)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
