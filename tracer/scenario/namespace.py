"""Network namespaces without a name: they last as long as a descriptor of this process holds them."""

from __future__ import annotations

import ctypes
import os
import threading

from tracer.errors import CannotTraceError
from tracer.netns import CLONE_NEWNET, Netns, open_netns

_libc = ctypes.CDLL(None, use_errno=True)


def create(label: str) -> tuple[int, Netns]:
    """Return the only descriptor of a new namespace, and the namespace as others open it while that is open.

    unshare(2) moves the calling thread alone, so a thread that ends at once makes it. Nothing is left when the
    process ends in any way: there is no mount in /run/netns and no process in it.
    """
    results: list[int] = []
    errors: list[int] = []

    def body() -> None:
        if _libc.unshare(CLONE_NEWNET) != 0:
            errors.append(ctypes.get_errno())
        else:
            results.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC))

    thread = threading.Thread(target=body, name=f"create-{label}")
    thread.start()
    thread.join()
    if errors:
        raise CannotTraceError(
            f"cannot make a network namespace for {label}: {os.strerror(errors[0])}",
            "Run as root (CAP_SYS_ADMIN is needed)",
        )
    (descriptor,) = results
    return descriptor, open_netns(label, f"/proc/{os.getpid()}/fd/{descriptor}")
