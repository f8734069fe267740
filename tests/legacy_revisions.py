"""Revisions of matches and targets that today's iptables no longer writes, but older ones did: members and text."""

from __future__ import annotations

from typing import NamedTuple

from tracer.netfilter.legacy.extension import IpFamily

TCP = 6
HOST = b"\x0a\x00\x00\x01"
ANY = bytes(16)
POINTER = 0
PORTS = 0  # the index of a namespace's first ipset, which the live test calls so
SET_NAMES = {PORTS: "ports"}


class Old(NamedTuple):
    """One rule with one extension: its members in the order of the layout, and what iptables-save prints.

    `table` and `hook` are where the kernel accepts it.
    """

    name: str
    revision: int
    members: tuple[bytes | int, ...]
    text: str
    table: str = "filter"
    hook: str = "INPUT"
    protocol: int = 0
    family: IpFamily = "ip"

    @property
    def shown(self) -> str:
        """The name with its options."""
        return f"{self.name} {self.text}".rstrip()


def _in_16(address: bytes) -> bytes:
    return address.ljust(16, b"\0")


def _conntrack(states: int, statuses: int) -> tuple[bytes | int, ...]:
    source, mask = _in_16(HOST), _in_16(b"\xff\xff\xff\0")
    port_80 = 0x5000  # in network byte order, on a little-endian machine
    match = 0x0001 | 0x0004 | 0x0040 | 0x0100
    return (source, mask, *[ANY] * 6, 0, 0, 0, port_80, 0, 0, 0, match, 0x0004, states, statuses)


CONNTRACK = "! --ctorigsrc 10.0.0.1/24 --ctorigsrcport 80 --ctstatus ASSURED"
BPF = (b"\x06\0\0\0\x01\0\0\0").ljust(512, b"\0")
RECENT = b"seen".ljust(200, b"\0")
HASHLIMIT = (b"old".ljust(16, b"\0"), b"old".ljust(255, b"\0"))
HELPER, TIMEOUT = b"".ljust(16, b"\0"), b"".ljust(32, b"\0")

MATCHES = (
    Old("addrtype", 0, (0x4, 0x2, 1, 0), "! --src-type LOCAL --dst-type UNICAST"),
    Old("bpf", 0, (1, BPF, POINTER), '--bytecode "1,6 0 0 1"'),
    Old("conntrack", 1, _conntrack(0x2, 0x4), f"--ctstate ESTABLISHED {CONNTRACK}"),
    Old("conntrack", 2, _conntrack(0x100, 0x4), f"--ctstate UNTRACKED {CONNTRACK}"),
    Old(
        "hashlimit",
        1,
        (HASHLIMIT[0], 0x04, 2000, 5, 0, 0, 1000, 1000, 32, 32, POINTER),
        "--hashlimit-upto 5/sec --hashlimit-burst 5 --hashlimit-mode srcip --hashlimit-name old",
    ),
    Old(
        "hashlimit",
        2,
        (HASHLIMIT[1], 200_000, 5, 0x10, 0, 0, 1000, 1000, 32, 24, POINTER),
        "--hashlimit-above 5/sec --hashlimit-burst 5 --hashlimit-name old --hashlimit-dstmask 24",
    ),
    Old("recent", 0, (60, 4, 0x01, 1, RECENT, 1), "! --rcheck --seconds 60 --hitcount 4 --name seen --rdest"),
    Old("set", 0, (PORTS, 0x05, 0x02, 0, 0, 0, 0, 0), "! --match-set ports src,dst"),
    Old("set", 1, (PORTS, 2, 0x05), "! --match-set ports dst,src"),
    Old("set", 2, (PORTS, 2, 0x82), "--match-set ports src,dst --return-nomatch"),
    Old("set", 3, (PORTS, 2, 0x02, 4, 9, 0, 0, 0x28), "--match-set ports src,dst ! --update-counters --packets-gt 9"),
    Old("socket", 0, (), "", protocol=TCP),
    Old("socket", 1, (0x1,), "--transparent", protocol=TCP),
    Old("socket", 2, (0x3,), "--transparent --nowildcard", protocol=TCP),
    Old("state", 0, (0x46,), "--state RELATED,ESTABLISHED,UNTRACKED"),
)
TARGETS = (
    Old("CONNMARK", 1, (0x1, 0xFF, 0, 0), "--set-xmark 0x1/0xff"),
    Old("CT", 0, (0, 7, 0x5, 0, HELPER, POINTER), "--ctevents new,destroy --zone 7", "raw", "PREROUTING"),
    Old("CT", 1, (1, 0, 0, 0, HELPER, TIMEOUT, POINTER), "--notrack", "raw", "PREROUTING"),
    Old("DNAT", 0, (1, 3, HOST, HOST, 0x5000, 0x5100), "--to-destination 10.0.0.1:80-81", "nat", "PREROUTING", TCP),
    Old(
        "DNAT",
        1,
        (3, b"\xfd" + bytes(15), b"\xfd" + bytes(15), 0x5000, 0x5000),
        "--to-destination [fd00::]:80",
        "nat",
        "PREROUTING",
        TCP,
        "ip6",
    ),
    Old("NFQUEUE", 0, (5,), "--queue-num 5"),
    Old("NFQUEUE", 1, (5, 3), "--queue-balance 5:7"),
    Old("NFQUEUE", 2, (5, 1, 1), "--queue-num 5 --queue-bypass"),
    Old("NOTRACK", 0, (), "", "raw", "PREROUTING"),
    Old("SET", 0, (PORTS, 1, 2, *[0] * 5, 0xFFFF, *[0] * 7), "--add-set ports src,dst"),
    Old("SET", 1, (0xFFFF, 0, 0, PORTS, 2, 0x04), "--del-set ports dst,src"),
    Old("SET", 2, (PORTS, 2, 0x02, 0xFFFF, 0, 0, 1, 60), "--add-set ports src,dst --exist --timeout 60"),
    Old(
        "TPROXY",
        0,
        (0xFF, 0x1, HOST, 0x5000),
        "--on-port 80 --on-ip 10.0.0.1 --tproxy-mark 0x1/0xff",
        "mangle",
        "PREROUTING",
        TCP,
    ),
)
# Known to no kernel or no iptables that the live tests meet.
UNTRIED_MATCHES = (
    Old("ipvs", 0, (ANY, ANY, 0, 0, 0, 0, 1, 1), "! --ipvs"),
    Old("ipvs", 0, (ANY, ANY, 0, 0, 0, 0, 0, 1), "--ipvs"),
    Old("multiport", 0, (1, 2, 80, 443, *[0] * 13), "--dports 80,443", protocol=TCP),
)
UNTRIED_TARGETS = (
    Old(
        "SNAT",
        2,
        (3, _in_16(HOST), _in_16(HOST), 0x5000, 0x5000, 0),
        "--to-source 10.0.0.1:80",
        "nat",
        "POSTROUTING",
        TCP,
    ),
)
