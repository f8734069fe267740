"""Network namespaces wired as CNI plugins wire nodes and pods, under random names, removed at the end."""

from __future__ import annotations

import contextlib
import secrets
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

SYSCTLS = [
    "net.ipv4.ip_forward=1",
    "net.ipv4.conf.all.rp_filter=0",
    "net.ipv4.conf.default.rp_filter=0",
    "net.ipv4.icmp_ratelimit=0",
    "net.ipv6.conf.all.disable_ipv6=0",
    "net.ipv6.conf.default.disable_ipv6=0",
    "net.ipv6.conf.default.accept_dad=0",
    "net.ipv6.conf.default.accept_ra=0",
    "net.ipv6.conf.all.forwarding=1",
    "net.ipv6.icmp.ratelimit=0",
]


@dataclass(frozen=True)
class Names:
    """The namespaces of a lab; `outside` is another machine on the node's network."""

    node: str
    routed: str
    bridged: str
    outside: str


def ip(netns: str, *commands: str) -> None:
    """Run ip(8) commands in a namespace."""
    subprocess.run(["ip", "-n", netns, "-batch", "-"], input="\n".join(commands), text=True, check=True, timeout=10)


def run(netns: str, *command: str) -> str:
    """Run a program in a namespace and return its output."""
    done = subprocess.run(
        ["ip", "netns", "exec", netns, *command], capture_output=True, text=True, check=True, timeout=10
    )
    return done.stdout


@contextlib.contextmanager
def namespaces(*purposes: str) -> Iterator[tuple[str, ...]]:
    """Make namespaces of their own for a test, one a purpose."""
    tag = secrets.token_hex(4)
    names = tuple(f"{purpose}-{tag}" for purpose in purposes)
    made = []
    try:
        for name in names:
            subprocess.run(["ip", "netns", "add", name], check=True, timeout=10)
            made.append(name)
            run(name, "sysctl", "-qw", *SYSCTLS)
            ip(name, "link set lo up")
        yield names
    finally:
        for name in made:
            subprocess.run(["ip", "netns", "del", name], check=True, timeout=10)


@contextlib.contextmanager
def process_in(netns: str) -> Iterator[int]:
    """Run a process that waits in a namespace; yield its pid."""
    command = ["ip", "netns", "exec", netns, "sh", "-c", "echo ready; exec sleep 600"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == b"ready\n"
            yield process.pid
        finally:
            process.kill()


def wire_uplink(node: str, outside: str) -> None:
    """Give the node a network with another machine on it: 192.0.2.0/24 and fd92::/64."""
    ip(
        node,
        f"link add uplink type veth peer name eth0 netns {outside}",
        "addr add 192.0.2.1/24 dev uplink",
        "addr add fd92::1/64 dev uplink nodad",
        "link set uplink up",
        "route add default via 192.0.2.9",
        "route add default via fd92::9",
    )
    ip(
        outside,
        "addr add 192.0.2.9/24 dev eth0",
        "addr add fd92::9/64 dev eth0 nodad",
        "link set eth0 up",
        "route add default via 192.0.2.1",
        "route add default via fd92::1",
    )


def wire_calico(node: str, pod: str) -> None:
    """Connect a pod as Calico does: no address on the host veth, proxy ARP, a /32 and a /128 route."""
    ip(
        node,
        f"link add cali0 address ee:ee:ee:ee:ee:ee type veth peer name eth0 netns {pod}",
        "link set cali0 up",
        "addr add fe80::ecee:eeff:feee:eeee/64 dev cali0 nodad",
        "route add 10.65.0.2 dev cali0 scope link",
        "route add fd65::2 dev cali0",
    )
    run(node, "sysctl", "-qw", "net.ipv4.conf.cali0.proxy_arp=1", "net.ipv4.neigh.cali0.proxy_delay=0")
    ip(
        pod,
        "link set eth0 up",
        "addr add 10.65.0.2/32 dev eth0",
        "addr add fd65::2/128 dev eth0 nodad",
        "route add 169.254.1.1 dev eth0 scope link",
        "route add default via 169.254.1.1 dev eth0",
        "route add default via fe80::ecee:eeff:feee:eeee dev eth0",
    )


def wire_bridge(node: str, pod: str) -> None:
    """Connect a pod as the CNI plugin `bridge` does: a port of cni0, which is the pod's gateway."""
    ip(
        node,
        "link add cni0 type bridge",
        "addr add 10.66.0.1/24 dev cni0",
        "addr add fd66::1/64 dev cni0 nodad",
        "link set cni0 up",
        f"link add veth0 type veth peer name eth0 netns {pod}",
        "link set veth0 master cni0 up",
    )
    ip(
        pod,
        "link set eth0 up",
        "addr add 10.66.0.2/24 dev eth0",
        "addr add fd66::2/64 dev eth0 nodad",
        "route add default via 10.66.0.1",
        "route add default via fd66::1",
    )


@contextlib.contextmanager
def node_with_pods() -> Iterator[Names]:
    """Make a node with a pod wired by routes, one on a bridge, and a machine next to it."""
    with namespaces("node", "routed", "bridged", "outside") as names:
        lab = Names(*names)
        wire_uplink(lab.node, lab.outside)
        wire_calico(lab.node, lab.routed)
        wire_bridge(lab.node, lab.bridged)
        yield lab
