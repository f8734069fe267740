"""Network namespaces without names: a client, a node that forwards, and a server; gone when they are closed."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pyroute2 import IPRoute

from tracer.netns import CLONE_NEWNET, Netns, run_in

IFA_F_NODAD = 2  # include/uapi/linux/if_addr.h
SYSCTLS = {
    "net/ipv4/ip_forward": "1",
    "net/ipv4/icmp_ratelimit": "0",
    "net/ipv4/ping_group_range": "0 0",
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/default/rp_filter": "0",
    "net/ipv6/icmp/ratelimit": "0",
    "net/ipv6/conf/all/forwarding": "1",
    "net/ipv6/conf/default/accept_dad": "0",
    "net/netfilter/nf_log/2": "nfnetlink_log",
    "net/netfilter/nf_log/10": "nfnetlink_log",
}


@dataclass(frozen=True)
class Lab:
    """The client is at 10.1.0.2 and fd01::2, the server at 10.2.0.2 and fd02::2, the node between them at .1."""

    client: Netns
    node: Netns
    server: Netns


@contextlib.contextmanager
def anonymous(label: str) -> Iterator[Netns]:
    """Make a namespace that only a descriptor of ours holds."""
    descriptors: list[int] = []

    def unshare() -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(CLONE_NEWNET) == 0:
            descriptors.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC))

    thread = threading.Thread(target=unshare)
    thread.start()
    thread.join()
    (descriptor,) = descriptors
    try:
        yield Netns(label, f"/proc/self/fd/{descriptor}", os.fstat(descriptor).st_ino)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def forwarding_lab() -> Iterator[Lab]:
    """Make a client, a node and a server, and the links between them."""
    with anonymous("client") as client, anonymous("node") as node, anonymous("server") as server:
        lab = Lab(client, node, server)
        for netns in (client, node, server):
            run_in(netns, prepare)
        for number, netns in enumerate((client, server), 1):
            connect(node, netns, number)
        yield lab


@contextlib.contextmanager
def bridged_lab() -> Iterator[Lab]:
    """Make a client (10.1.0.2, fd01::2) and a server (.3, ::3) on a bridge of the node (.1, ::1), which filters it."""
    with anonymous("client") as client, anonymous("node") as node, anonymous("server") as server:
        for netns in (client, node, server):
            run_in(netns, prepare)
        run_in(node, _add_bridge)
        for host, netns in ((2, client), (3, server)):
            descriptor = os.open(netns.path, os.O_RDONLY)
            try:
                run_in(node, functools.partial(_add_port, f"veth{host}", descriptor))
            finally:
                os.close(descriptor)
            run_in(netns, functools.partial(_configure, "eth0", 1, host, gateway=False))
        yield Lab(client, node, server)


def run(netns: Netns, *command: str, stdin: str = "") -> str:
    """Run a program in a namespace and return its output."""
    done = run_in(
        netns,
        lambda: subprocess.run(command, input=stdin, stdout=subprocess.PIPE, text=True, check=True, timeout=10),
    )
    return done.stdout


def prepare() -> None:
    """Give the calling thread's namespace the settings that the labs depend on, and its loopback device."""
    for name, value in SYSCTLS.items():
        (Path("/proc/sys") / name).write_text(value)
    with IPRoute() as route:
        route.link("set", index=1, state="up")


def connect(node: Netns, end: Netns, number: int) -> None:
    """Link the node's vethN, 10.N.0.1 and fd0N::1, with eth0 of `end`, 10.N.0.2 and fd0N::2, which routes by it."""
    descriptor = os.open(end.path, os.O_RDONLY)
    try:
        run_in(node, lambda: _add_link(f"veth{number}", number, descriptor))
    finally:
        os.close(descriptor)
    run_in(end, lambda: _configure("eth0", number, 2, gateway=True))


def _add_link(name: str, number: int, descriptor: int) -> None:
    with IPRoute() as route:
        route.link("add", ifname=name, kind="veth", peer={"ifname": "eth0", "net_ns_fd": descriptor})
    _configure(name, number, 1, gateway=False)


def _add_bridge() -> None:
    with IPRoute() as route:
        route.link("add", ifname="cni0", kind="bridge")
    for name in ("bridge-nf-call-iptables", "bridge-nf-call-ip6tables"):
        Path("/proc/sys/net/bridge", name).write_text("1")
    _configure("cni0", 1, 1, gateway=False)


def _add_port(name: str, descriptor: int) -> None:
    with IPRoute() as route:
        (bridge,) = route.link_lookup(ifname="cni0")
        route.link("add", ifname=name, kind="veth", peer={"ifname": "eth0", "net_ns_fd": descriptor})
        (index,) = route.link_lookup(ifname=name)
        route.link("set", index=index, master=bridge, state="up")


def _configure(name: str, number: int, host: int, *, gateway: bool) -> None:
    with IPRoute() as route:
        (index,) = route.link_lookup(ifname=name)
        route.link("set", index=index, state="up")
        route.addr("add", index=index, address=f"10.{number}.0.{host}", prefixlen=24)
        route.addr("add", index=index, address=f"fd0{number}::{host}", prefixlen=64, flags=IFA_F_NODAD)
        if gateway:
            route.route("add", dst="default", gateway=f"10.{number}.0.1")
            route.route("add", dst="default", gateway=f"fd0{number}::1", family=10)
