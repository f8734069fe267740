"""What a trace must be allowed to do (capabilities(7))."""

from __future__ import annotations

import os
from pathlib import Path

from tracer.errors import CannotTraceError

# include/uapi/linux/capability.h. CAP_SYS_ADMIN includes what CAP_BPF and CAP_PERFMON allow, and no other one lets a
# process enter a network namespace (setns(2)).
_NEEDED = {"CAP_NET_ADMIN": 12, "CAP_NET_RAW": 13, "CAP_SYS_ADMIN": 21}


def require_privileges() -> None:
    """Raise CannotTraceError unless we run as root with the capabilities that a trace needs."""
    if os.geteuid() != 0:
        raise CannotTraceError(
            "tracer needs root: it loads BPF programs and enters network namespaces", "Run it with sudo"
        )
    effective = _effective_capabilities()
    missing = [name for name, number in _NEEDED.items() if not effective & 1 << number]
    if missing:
        raise CannotTraceError(
            f"root lacks {', '.join(missing)} here", "Run tracer outside of the container, or in a privileged one"
        )


def _effective_capabilities() -> int:
    """Return the calling thread's effective capabilities, a bit for each (CapEff in proc_pid_status(5))."""
    lines = Path("/proc/thread-self/status").read_text().splitlines()
    return next(int(line.split()[1], 16) for line in lines if line.startswith("CapEff:"))
