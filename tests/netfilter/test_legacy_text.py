from __future__ import annotations

import pytest

from tracer.netfilter.legacy.text import address, extent, named_bits, network, prefix, quoted, string, value_and_mask


@pytest.mark.parametrize(
    "mask, expected",
    [
        ("ffffffff", "32"),
        ("ff000000", "8"),
        ("00000000", "0"),
        ("ff00ff00", "255.0.255.0"),
        ("00000001", "0.0.0.1"),
        ("ff" * 16, "128"),
        ("ff" * 8 + "00" * 8, "64"),
        ("ffff0000ffff" + "00" * 10, "ffff:0:ffff::"),
    ],
)
def test_prefix(mask, expected):
    assert prefix(bytes.fromhex(mask)) == expected


@pytest.mark.parametrize(
    "mask, expected", [("ffffffff", "10.0.0.1"), ("ffffff00", "10.0.0.1/24"), ("ff0000ff", "10.0.0.1/255.0.0.255")]
)
def test_network(mask, expected):
    assert network(bytes.fromhex("0a000001"), bytes.fromhex(mask)) == expected


def test_ipv6_address():
    assert address(bytes(15) + b"\x01") == "::1"


@pytest.mark.parametrize(
    "raw, expected",
    [
        (b"plain_Word-1", "plain_Word-1"),
        (b"", '""'),
        (b"a b", '"a b"'),
        (b"a:b\0c", '"a:b"'),
        (b"\\\"'", '"\\\\\\"\\\'"'),
    ],
)
def test_quoted(raw, expected):
    assert quoted(raw) == expected


@pytest.mark.parametrize(
    "raw, expected", [(b"eth0\0\0", "eth0"), (b"\xc3\xbc", "ü"), (b"\xff\x1b", "\\xff\x1b"), (b"", "")]
)
def test_string(raw, expected):
    assert string(raw) == expected


@pytest.mark.parametrize("low, high, expected", [(80, 80, "80"), (0, 65535, "0:65535")])
def test_extent(low, high, expected):
    assert extent(low, high) == expected


@pytest.mark.parametrize(
    "value, mask, expected",
    [(1, 0xFFFFFFFF, "0x1"), (0, 0x40000, "0x0/0x40000"), (0x10000, 0x10000, "0x10000/0x10000")],
)
def test_value_and_mask(value, mask, expected):
    assert value_and_mask(value, mask) == expected


@pytest.mark.parametrize("bits, expected", [(0, ""), (1, "one"), (3, "two,one"), (5, None)])
def test_named_bits(bits, expected):
    assert named_bits(bits, ((2, "two"), (1, "one"))) == expected
