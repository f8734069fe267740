"""Read and set sysctls of the calling thread's network namespace.

/proc/sys/net shows the namespace of the thread that opens the file (net/sysctl_net.c, net_ctl_header_lookup),
so `tracer.netns.run_in` is all that is needed to reach another one.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

# With slashes, as sysctl(8) also takes them, a part may have dots: devices are called `eth0.100`, `vxlan.calico`.
_NAME = re.compile(r"net(?:(?:\.[a-zA-Z0-9_-]+)+|(?:/[a-zA-Z0-9_-][a-zA-Z0-9_.-]*)+)")


def path_of(name: str) -> Path:
    """Return the file of `net.netfilter.nf_log.2`, or of `net/ipv4/conf/eth0.100/forwarding`.

    Raise ValueError for what is not a name below `net`.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not the name of a sysctl of a network namespace")
    return Path("/proc/sys", *name.split("/" if "/" in name else "."))


def read(name: str) -> str:
    """Return the value without its line end; raise OSError as the kernel does."""
    return path_of(name).read_text().rstrip("\n")


def write(name: str, value: str) -> None:
    """Set the value with a single write, as proc(5) wants it; raise OSError as the kernel does."""
    descriptor = os.open(path_of(name), os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, f"{value}\n".encode())
    finally:
        os.close(descriptor)
