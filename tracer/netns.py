"""Network namespaces: open them, name them, run in them.

A namespace is held by a descriptor and compared by inode number, which is also what the kernel's
`struct net` carries (`ns.inum`), so that BPF events and endpoints speak of the same number.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from tracer.errors import CannotTraceError, UsageError

CLONE_NEWNET = 0x40000000  # include/uapi/linux/sched.h
NS_GET_NSTYPE = 0xB703  # include/uapi/linux/nsfs.h

_libc = ctypes.CDLL(None, use_errno=True)
_T = TypeVar("_T")


@dataclass(frozen=True)
class Netns:
    """A network namespace: the label people see, the path it opens from, the inode number of it."""

    label: str
    path: str
    inum: int


def open_netns(label: str, path: str) -> Netns:
    """Describe the namespace at `path` (netns(7), ioctl_ns(2)).

    Raise UsageError when there is none, CannotTraceError when we may not look.
    """
    try:
        # A path may lead anywhere, and opening a FIFO to read would wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except PermissionError as error:
        raise CannotTraceError(
            f"{label}: not allowed to open {path} ({error.strerror})",
            "Run as root (CAP_SYS_PTRACE is needed for a process of somebody else)",
        ) from error
    except OSError as error:
        raise UsageError(
            f"{label}: no network namespace at {path} ({error.strerror})",
            "`ip netns list` shows those that have a name, `lsns -t net` those of processes",
        ) from error
    try:
        if not _is_netns(descriptor):
            raise UsageError(
                f"{label}: {path} is not a network namespace",
                "Its namespace may be gone and the name left over: `lsns -t net` shows those that exist",
            )
        return Netns(label, path, os.fstat(descriptor).st_ino)
    finally:
        os.close(descriptor)


def _is_netns(descriptor: int) -> bool:
    try:
        return fcntl.ioctl(descriptor, NS_GET_NSTYPE) == CLONE_NEWNET
    except OSError:
        return False


def open_descriptor(netns: Netns) -> int:
    """Return a descriptor of `netns`, for the caller to close; raise CannotTraceError when it is gone."""
    try:
        descriptor = os.open(netns.path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise _gone(netns) from error
    if os.fstat(descriptor).st_ino != netns.inum:
        os.close(descriptor)
        raise _gone(netns)
    return descriptor


def enter(netns: Netns) -> None:
    """Move the calling thread into `netns`, and check that it is still the one that was opened."""
    descriptor = open_descriptor(netns)
    try:
        if _libc.setns(descriptor, CLONE_NEWNET) != 0:
            code = ctypes.get_errno()
            raise CannotTraceError(
                f"cannot enter the network namespace of {netns.label}: {os.strerror(code)}",
                "Run as root (CAP_SYS_ADMIN is needed)",
            )
    finally:
        os.close(descriptor)


def _gone(netns: Netns) -> CannotTraceError:
    return CannotTraceError(
        f"the network namespace of {netns.label} ({netns.path}) is gone",
        "Its pod or process has ended: pick one that runs, and trace again",
    )


def run_in(netns: Netns, function: Callable[[], _T]) -> _T:
    """Return `function()`, run in `netns` by a thread of its own; its exception is raised here.

    Sockets and BPF links made by `function` stay in that namespace; the calling thread never leaves its own. An
    interrupt waits until `function` is over, so that whoever undoes what it did comes after it.
    """
    results: list[_T] = []
    errors: list[BaseException] = []
    over = threading.Event()  # join() takes an interrupted thread for one that has ended (CPython 3.10 to 3.12)

    def body() -> None:
        try:
            enter(netns)
            results.append(function())
        except BaseException as error:  # noqa: BLE001  (handed to the caller, not swallowed)
            errors.append(error)
        finally:
            over.set()

    thread = threading.Thread(target=body, name=f"netns-{netns.inum}")
    thread.start()
    try:
        over.wait()
    except BaseException:
        over.wait()
        raise
    thread.join()
    if errors:
        raise errors[0]
    return results[0]
