from __future__ import annotations

import pytest

from tracer.netfilter.legacy.entry import EXTENSION, LAYOUTS, OFFSETS, VERDICT, rule_text
from tracer.netfilter.legacy.extension import Context, IpFamily

ACCEPT = -2
NAME = 16


def whole(family: IpFamily, *, verdict: int = ACCEPT, **parts: bytes | int) -> bytes:
    """Return an entry for any packet, but for what `parts` say of its header."""
    layout, size = LAYOUTS[family], 4 if family == "ip" else 16
    addresses = (parts.get(name, bytes(size)) for name in ("source", "destination", "source_mask", "destination_mask"))
    devices = (parts.get(name, bytes(NAME)) for name in ("into", "out", "into_mask", "out_mask"))
    numbers = (parts.get(name, 0) for name in ("protocol", "flags", "invert"))
    target = EXTENSION.pack(EXTENSION.size + 8, b"", 0) + VERDICT.pack(verdict) + bytes(4)
    entry = bytearray(layout.header.pack(*addresses, *devices, *numbers).ljust(layout.size, b"\0") + target)
    OFFSETS.pack_into(entry, layout.offsets_at, layout.size, len(entry))
    return bytes(entry)


def text(family: IpFamily, **parts: bytes | int) -> str:
    rendered, _ = rule_text(Context(family, {}), whole(family, **parts), 0, {8: "elsewhere"})
    return rendered


def device(name: bytes, covered: int) -> tuple[bytes, bytes]:
    return name.ljust(NAME, b"\0"), (b"\xff" * covered).ljust(NAME, b"\0")


@pytest.mark.parametrize(
    "name, covered, invert, expected",
    [
        (b"eth0", 5, 0, "-i eth0"),
        (b"eth0", 5, 1, "! -i eth0"),
        (b"cali+", 4, 0, "-i cali+"),
        (b"cali", 4, 0, "-i cali+"),
        (b"+", 0, 0, ""),
        (b"+", 0, 1, "! -i +"),
        (b"fifteen-charact", 16, 0, "-i fifteen-charact"),
        (b"sixteen-characte", 16, 0, "-i sixteen-characte"),
        (b"\xff\x1b", 3, 0, "-i \\xff\x1b"),
    ],
)
def test_device(name, covered, invert, expected):
    into, mask = device(name, covered)
    assert text("ip", into=into, into_mask=mask, invert=invert) == f"{expected} -j ACCEPT".lstrip()


@pytest.mark.parametrize(
    "source, mask, invert, expected",
    [
        ("0a000001", "ffffffff", 0, "-s 10.0.0.1/32"),
        ("0a000000", "ff000000", 0x08, "! -s 10.0.0.0/8"),
        ("0a000001", "ff00ffff", 0, "-s 10.0.0.1/255.0.255.255"),
        ("00000000", "00000000", 0, ""),
        ("00000000", "00000000", 0x08, "! -s 0.0.0.0/0"),
        ("0a000001", "00000000", 0, "-s 10.0.0.1/0"),
    ],
)
def test_source(source, mask, invert, expected):
    parts = {"source": bytes.fromhex(source), "source_mask": bytes.fromhex(mask), "invert": invert}
    assert text("ip", **parts) == f"{expected} -j ACCEPT".lstrip()


@pytest.mark.parametrize(
    "destination, mask, invert, expected",
    [
        (b"\xfd", b"\xff", 0, "-d fd00::/8"),
        (b"\xfd", b"\xff\0\xff", 0x10, "! -d fd00::/ff00:ff00::"),
        (b"\xfd", b"", 0, ""),
        (b"", b"", 0x10, "! -d ::/0"),
    ],
)
def test_ipv6_destination(destination, mask, invert, expected):
    parts = {"destination": destination.ljust(16, b"\0"), "destination_mask": mask.ljust(16, b"\0"), "invert": invert}
    assert text("ip6", **parts) == f"{expected} -j ACCEPT".lstrip()


@pytest.mark.parametrize(
    "protocol, invert, expected",
    [(6, 0, "-p tcp"), (17, 0x40, "! -p udp"), (58, 0, "-p ipv6-icmp"), (4, 0, "-p 4"), (135, 0, "-p mobility-header")],
)
def test_protocol(protocol, invert, expected):
    assert text("ip", protocol=protocol, invert=invert) == f"{expected} -j ACCEPT"


@pytest.mark.parametrize("invert, expected", [(0, "-f"), (0x20, "! -f")])
def test_fragments(invert, expected):
    assert text("ip", flags=0x01, invert=invert) == f"{expected} -j ACCEPT"


@pytest.mark.parametrize(
    "verdict, expected",
    [
        (-1, "-j DROP"),
        (-2, "-j ACCEPT"),
        (-4, "-j QUEUE"),
        (-5, "-j RETURN"),
        (-3, "-j [verdict -3 unknown]"),
        (8, "-j elsewhere"),
        (9, "-j [byte 9, where no chain begins]"),
        (len(whole("ip")), ""),
    ],
)
def test_verdict(verdict, expected):
    assert text("ip", verdict=verdict) == expected


@pytest.mark.parametrize("family, goto", [("ip", 0x02), ("ip6", 0x04)])
def test_goto(family, goto):
    assert text(family, verdict=8, flags=goto) == "-g elsewhere"
