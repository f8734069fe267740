"""Who gets what the legacy tables log: the namespace's logger, and the holder of NFLOG group 0.

`nf_log_trace` gives a TRACE to the logger that /proc/sys/net/netfilter/nf_log names for the family (nf_log.c).
Only nfnetlink_log tells a program, on group 0, and it serves one socket a group.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from tracer.errors import CannotTraceError
from tracer.netfilter.evidence.nfnetlink import NETLINK_NETFILTER

TRACE_LOGGER = "nfnetlink_log"
TRACE_GROUP = 0

_SETTINGS = Path("/proc/sys/net/netfilter/nf_log")
_PROTOCOL = {4: "2", 6: "10"}  # NFPROTO_IPV4, NFPROTO_IPV6


def setting(family: Literal[4, 6]) -> Path:
    """Return the file that names the family's logger in the namespace of the thread that opens it."""
    return _SETTINGS / _PROTOCOL[family]


def current_logger(family: Literal[4, 6]) -> str:
    """Return the family's logger in the calling thread's namespace.

    It is `NONE`, `nfnetlink_log`, `nf_log_ipv4`, `nf_log_ipv6`, `nf_log_syslog`, or what a module calls itself.
    Raise CannotTraceError where the kernel has no such setting.
    """
    try:
        return setting(family).read_text().strip()
    except OSError as error:
        raise CannotTraceError(
            f"cannot read {setting(family)}: {error.strerror}", "Load the logger: modprobe nfnetlink_log"
        ) from error


def must_change(logger: str) -> bool:
    """Tell whether legacy traces do not reach us while `logger` is the namespace's."""
    return logger != TRACE_LOGGER


def group_holder() -> str | None:
    """Return who holds NFLOG group 0 in the calling thread's namespace, as `ulogd (pid 4711)`; None if free."""
    portid = next((portid for group, portid in _groups() if group == TRACE_GROUP), None)
    if portid is None:
        return None
    inode = next((inode for known, inode in _netfilter_sockets() if known == portid), None)
    return (inode and _process_with(f"socket:[{inode}]")) or f"a netlink socket with port {portid}"


def _groups() -> Iterator[tuple[int, int]]:
    """Yield each NFLOG group and its socket's port (seq_show, nfnetlink_log.c)."""
    for line in Path("/proc/thread-self/net/netfilter/nfnetlink_log").read_text().splitlines():
        group, portid, *_rest = line.split()
        yield int(group), int(portid)


def _netfilter_sockets() -> Iterator[tuple[int, str]]:
    """Yield port and inode of the namespace's netfilter sockets (netlink_native_seq_show, af_netlink.c)."""
    for line in Path("/proc/thread-self/net/netlink").read_text().splitlines()[1:]:
        _address, protocol, portid, *_rest, inode = line.split()
        if int(protocol) == NETLINK_NETFILTER:
            yield int(portid), inode


def _process_with(link: str) -> str | None:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(str(entry.readlink()) == link for entry in (process / "fd").iterdir()):
                return f"{(process / 'comm').read_text().strip()} (pid {process.name})"
        except OSError:
            continue  # it has ended, or is not ours to look at
    return None
