"""Send a scenario's probes with ordinary sockets, and see by the rules' own counters where they were dropped."""

from __future__ import annotations

import contextlib
import re
import select
import socket
import subprocess
import time
from collections.abc import Iterator

from tracer import sysctl
from tracer.netns import Netns, run_in
from tracer.scenario.lab import Lab
from tracer.scenario.model import Expectation, ExpectedCulprit, Probe

QUERY = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03www\x07example\x00\x00\x01\x00\x01"
ECHO_REQUEST = {"ipv4": b"\x08\0\0\0\0\0\0\x01lab", "ipv6": b"\x80\0\0\0\0\0\0\x01lab"}
ECHO_REPLY = {"ipv4": 0, "ipv6": 129}
_COUNTED = re.compile(r"\[(\d+):\d+\]")


def outcome(lab: Lab, probe: Probe, expected: Expectation, seconds: float = 10) -> str:
    """Return `delivered`, `dropped` (by the culprit), or `lost` when neither was seen."""
    before = counter(lab, expected.culprit)
    deadline = time.monotonic() + seconds
    with sent(lab, probe) as opened:
        while time.monotonic() < deadline:
            if answered(probe, opened, 0.01):
                return "delivered"
            if counter(lab, expected.culprit) > before:
                return "dropped"
    return "lost"


@contextlib.contextmanager
def sent(lab: Lab, probe: Probe) -> Iterator[socket.socket]:
    """Send a probe from its source's namespace, and give the socket on which the answer would arrive."""
    target = lab.address(probe.destination, probe.family) if probe.destination in lab.netnses else probe.destination
    with run_in(lab.netns(probe.source), lambda: _open(probe)) as opened:
        opened.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            opened.connect((target, probe.port or {"dns": 53}.get(probe.protocol, 0)))
        if probe.protocol != "tcp":
            opened.send({"icmp": ECHO_REQUEST[probe.family], "dns": QUERY, "udp": b"lab"}[probe.protocol])
        yield opened


def answered(probe: Probe, opened: socket.socket, seconds: float) -> bool:
    """Tell whether the answer is there within the time."""
    readable, writable, _ = select.select([opened], [opened] if probe.protocol == "tcp" else [], [], seconds)
    if probe.protocol == "tcp":
        return bool(writable) and opened.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
    if not readable:
        return False
    try:
        answer = opened.recv(2048)
    except OSError:
        return False
    return {
        "icmp": lambda: answer[0] == ECHO_REPLY[probe.family] and answer.endswith(b"lab"),
        "dns": lambda: answer[:2] == QUERY[:2] and answer[2] & 0x80 != 0,
        "udp": lambda: answer == b"lab",
    }[probe.protocol]()


def counter(lab: Lab, culprit: ExpectedCulprit | None) -> int:
    """Return how many packets the culprit's rule or policy has seen, 0 without a culprit."""
    if culprit is None:
        return 0
    save = {"ip": "iptables", "ip6": "ip6tables"}[culprit.family] + culprit.backend.removeprefix("iptables") + "-save"
    lines = run(lab.netns(culprit.netns), save, "-c", "-t", culprit.table).splitlines()
    if culprit.kind == "policy":
        (line,) = (line for line in lines if line.startswith(f":{culprit.chain} "))
    else:
        line = [line for line in lines if f"] -A {culprit.chain} " in line][culprit.position - 1]
        assert line.endswith(culprit.rule), line
    return int(_COUNTED.search(line).group(1))


def run(netns: Netns, *command: str) -> str:
    """Run a program in a namespace and return its output."""
    return run_in(netns, lambda: subprocess.run(command, capture_output=True, text=True, check=True)).stdout


def _open(probe: Probe) -> socket.socket:
    family = {"ipv4": socket.AF_INET, "ipv6": socket.AF_INET6}[probe.family]
    if probe.protocol == "icmp":
        sysctl.write("net.ipv4.ping_group_range", "0 0")
        protocol = {"ipv4": socket.IPPROTO_ICMP, "ipv6": socket.IPPROTO_ICMPV6}[probe.family]
        return socket.socket(family, socket.SOCK_DGRAM, protocol)
    return socket.socket(family, socket.SOCK_STREAM if probe.protocol == "tcp" else socket.SOCK_DGRAM)
