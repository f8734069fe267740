"""Find network namespaces: the node's, an endpoint's, and those which hold an address."""

from __future__ import annotations

import dataclasses
import errno
import os
import socket
from pathlib import Path

from tracer.endpoints.model import AddressEndpoint, Endpoint, NetnsEndpoint, NodeEndpoint, ProcessEndpoint
from tracer.endpoints.parse import NAMED_NETNS
from tracer.errors import CannotTraceError, UsageError
from tracer.netns import Netns, enter, open_netns, run_in
from tracer.text import printable

OWN_NETNS = "/proc/self/ns/net"


def node_namespace(endpoint: Endpoint) -> Netns:
    """Return the namespace of the node; raise UsageError when `endpoint` does not name one."""
    if isinstance(endpoint, NodeEndpoint):
        return open_netns("node", OWN_NETNS)
    if isinstance(endpoint, AddressEndpoint):
        raise UsageError(
            f"{endpoint.label} cannot be the node: an address is no network namespace",
            "Say which one it is as `netns:NAME`, `netns:/PATH` or `pid:N`",
        )
    return dataclasses.replace(_open(endpoint), label="node")


def endpoint_namespace(endpoint: NetnsEndpoint | ProcessEndpoint, node: Netns) -> Netns:
    """Return the namespace that `endpoint` names, which is `node` itself when it is the same one.

    Raise UsageError when there is none, or when a process has none of its own: it runs in the node's then.
    """
    netns = _open(endpoint)
    if netns.inum != node.inum:
        return netns
    if isinstance(endpoint, ProcessEndpoint):
        raise UsageError(
            f"process {endpoint.pid} has no network namespace of its own: it is in the node's",
            "Say `node` to trace from or to the node, or name a process inside a pod",
        )
    return node


def list_namespaces(known: tuple[Netns, ...] = ()) -> tuple[Netns, ...]:
    """Return `known` and the namespaces that have a name in /run/netns or a process, each once, in this order."""
    found: dict[int, Netns] = {}
    for netns in (*known, *_named(), *_of_processes()):
        found.setdefault(netns.inum, netns)
    return tuple(found.values())


def namespaces_holding(address: str, node: Netns, known: tuple[Netns, ...]) -> tuple[Netns, ...]:
    """Return the namespaces other than `node` in which `address` is a local one; `known` are looked at too.

    Binding a socket to it asks the kernel just that (ip(7), EADDRNOTAVAIL), in a fraction of the time that a
    list of all addresses takes. Where net.ipv4.ip_nonlocal_bind is set it says yes to any, so look again.
    """
    others = [netns for netns in list_namespaces(known) if netns.inum != node.inum]

    def holds(netns: Netns) -> bool:
        try:
            enter(netns)
        except CannotTraceError:  # it ended since it was listed
            return False
        return _can_bind(address)

    # One thread walks through all of them: a thread for each would cost more than the question.
    return run_in(node, lambda: tuple(filter(holds, others)))


def _open(endpoint: NetnsEndpoint | ProcessEndpoint) -> Netns:
    if isinstance(endpoint, NetnsEndpoint):
        return open_netns(endpoint.label, endpoint.path)
    if not Path(f"/proc/{endpoint.pid}").exists():
        raise UsageError(
            f"there is no process {endpoint.pid}",
            "Name one that runs, as the node numbers it: `lsns -t net` shows one for each network namespace",
        )
    return open_netns(endpoint.label, f"/proc/{endpoint.pid}/ns/net")


def _named() -> list[Netns]:
    try:
        names = sorted(os.listdir(NAMED_NETNS))  # noqa: PTH208  (names with undecodable bytes pass)
    except FileNotFoundError:
        return []
    found = []
    for name in names:
        try:
            found.append(open_netns(f"netns:{printable(name)}", f"{NAMED_NETNS}/{name}"))
        except UsageError:  # a name that was left over, or deleted meanwhile
            continue
    return found


def _of_processes() -> list[Netns]:
    found: dict[int, Netns] = {}
    for pid in os.listdir("/proc"):  # noqa: PTH208  (thousands of entries)
        if not pid.isdecimal():
            continue
        path = f"/proc/{pid}/ns/net"
        try:
            inum = int(os.readlink(path)[len("net:[") : -1])  # noqa: PTH115
        except OSError:  # it ended, or it is a zombie
            continue
        found.setdefault(inum, Netns(f"pid:{pid}", path, inum))
    return list(found.values())


def _can_bind(address: str) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError as error:
        if error.errno in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:  # not here; no IPv6 at all
            return False
        raise
    return True
