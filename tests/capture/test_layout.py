"""What BPF writes and Python reads, and the other way round, held against each other."""

from __future__ import annotations

import dataclasses
import re
import struct
import sys

import pytest
from capture.c_structures import constants, structures
from probe.probes import SOURCE_PORT, probe_of

from tracer.capture import layout
from tracer.capture.layout import STRUCTURES
from tracer.capture.patterns import WORDS, patterns
from tracer.netfilter.evidence.signature import ProbeMark

C = structures()
CONSTANTS = constants()
LONGEST_NAME = 63


def places(fields):
    """Return each field's name, offset and size where nothing is put between them."""
    offset = 0
    for name, codes in fields.items():
        size = struct.calcsize(f"={codes}")
        yield name, offset, size
        offset += size


def one_by_one(codes):
    """Return a format with its repetitions written out, and text and gaps as the bytes that they are."""
    flat = re.sub(r"(\d+)(\D)", lambda match: int(match[1]) * match[2], codes)
    return flat.replace("x", "B").replace("s", "B")


@pytest.mark.parametrize("name", STRUCTURES)
def test_python_has_every_field_where_a_c_compiler_puts_it(name):
    assert list(places(STRUCTURES[name])) == [(field.name, field.offset, field.size) for field in C[name].fields]
    assert struct.calcsize("=" + "".join(STRUCTURES[name].values())) == C[name].size


@pytest.mark.parametrize("name", STRUCTURES)
def test_python_reads_numbers_of_the_same_size_and_sign(name):
    ours = {field: one_by_one(codes) for field, codes in STRUCTURES[name].items()}
    assert ours == {field.name: one_by_one(field.codes) for field in C[name].fields}


def test_the_parser_finds_the_structures_that_are_shared():
    """All but the kernel's bpf_nf_ctx, and the text that user space writes into a map byte by byte."""
    assert set(C) == set(STRUCTURES) | {"format"}


def test_constants_are_the_same_on_both_sides():
    python = {name: getattr(layout, name) for name in vars(layout) if name.startswith("KIND_")}
    python |= {"PACKET_BYTES": layout.PACKET_BYTES, "WORDS": WORDS, "LEG_REQUEST": 0, "LEG_REPLY": 1}
    assert {name: CONSTANTS[name] for name in python} == python
    assert {name for name in CONSTANTS if name.startswith("KIND_")} <= set(python)


@pytest.mark.parametrize("raw, name", [(layout.RawEvent, "event"), (layout.RawHookFunction, "hook_function")])
def test_what_is_decoded_bears_the_names_of_the_c_fields(raw, name):
    assert [field.name for field in dataclasses.fields(raw)] == [
        field.name for field in C[name].fields if field.name != "unused"
    ]


def c_bytes(name, **values):
    """Return a structure with these fields, written at the offsets of a C compiler."""
    data = bytearray(C[name].size)
    for field in C[name].fields:
        if field.name in values:
            value = values[field.name]
            written = value if isinstance(value, bytes) else struct.pack(f"={field.codes}", value)
            data[field.offset : field.offset + len(written)] = written
    return bytes(data)


def test_an_event_is_read_field_by_field():
    fields = {
        "at_ns": 2**64 - 1,
        "skb": 0xFFFF_8881_0000_0001,
        "netns": 0xF0000001,
        "device_in": 2,
        "device_out": 3,
        "mark": 0xDEADBEEF,
        "reason": 7,
        "kind": layout.KIND_FREED,
        "leg": 1,
        "hook": 4,
        "nth": 9,
        "packet": bytes(range(128)),
    }
    data = c_bytes("event", **fields, function=b"nf_hook_slow+0x7d/0x100 [nf]\0left over")
    assert layout.read_event(data) == layout.RawEvent(**fields, function="nf_hook_slow+0x7d")


def test_a_hook_function_is_read_field_by_field():
    names = {"xt_table": b"filter\0rubbish", "nft_table": b"caf\xe9", "nft_chain": b"c" * LONGEST_NAME}
    numbers = {"priority": -2147483648, "ipv6": 1, "hook": 4, "order": 31, "nat": 1, "nft_family": 10}
    data = c_bytes("hook_function", **numbers, **names, function=b"nft_do_chain_ipv4+0x0/0xb0")
    assert layout.read_hook_function(data) == layout.RawHookFunction(
        **numbers, xt_table="filter", nft_table="caf\\xe9", nft_chain="c" * LONGEST_NAME, function="nft_do_chain_ipv4"
    )


def test_an_address_that_the_kernel_cannot_name():
    data = c_bytes("event", function=b"0xffffffffc0a8d000\0")
    assert layout.read_event(data).function == "0xffffffffc0a8d000"


class CProbe:
    """The fields of struct probe as C reads them from the bytes that Python wrote."""

    def __init__(self, data: bytes) -> None:
        assert len(data) == C["probe"].size
        self._data = data

    def field(self, name: str, structure: str = "probe", start: int = 0) -> tuple[int, ...]:
        [field] = [field for field in C[structure].fields if field.name == name]
        return struct.unpack_from(f"={field.codes}", self._data, start + field.offset)

    def pattern(self, index: int):
        [patterns_] = [field for field in C["probe"].fields if field.name == "patterns"]
        start = patterns_.offset + index * C["pattern"].size
        flat = self.field("words", "pattern", start)
        words = [flat[number : number + 3] for number in range(0, len(flat), 3)]
        return *self.field("protocol", "pattern", start), *self.field("leg", "pattern", start), words


def mark_of(protocol, family):
    probe = probe_of(protocol, family)
    return ProbeMark(protocol, family, probe.token, probe.tcp_sequence if protocol == "tcp" else None)


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("protocol, number", [("icmp", None), ("udp", 17), ("tcp", 6), ("dns", 17)])
def test_bpf_finds_the_probe_that_python_wrote(protocol, number, family):
    mark = mark_of(protocol, family)
    port = None if protocol == "icmp" else SOURCE_PORT
    probe = CProbe(layout.probe_bytes(mark, port))
    known = patterns(mark)
    assert probe.field("version") == (family,)
    assert probe.field("protocol") == (number or {4: 1, 6: 58}[family],)
    assert [probe.field(name) for name in ("followed", "at_netns", "at_hook", "at_nth")] == [(0, 0, 0, 0)] * 4
    assert (probe.field("next_followed"), probe.field("next_pattern")) == ((0,), (len(known),))
    for index, pattern in enumerate(known):
        words = [
            (int.from_bytes(word.mask, sys.byteorder), int.from_bytes(word.value, sys.byteorder), word.at)
            for word in pattern.words
        ]
        assert probe.pattern(index) == (pattern.protocol, pattern.leg, words)
    rest = range(len(known), CONSTANTS["PATTERNS"])
    assert all(probe.pattern(index) == (0, 0, [(0, 0, 0)] * WORDS) for index in rest), "a protocol of 0 fits no packet"


@pytest.mark.parametrize("protocol", ["udp", "tcp", "dns"])
def test_the_source_port_is_written_as_it_lies_in_the_packet(protocol):
    probe = CProbe(layout.probe_bytes(mark_of(protocol, 4), SOURCE_PORT))
    first, *others = probe.field("ports")
    assert struct.pack("=H", first) == probe_of(protocol, 4).packet[20:22]
    assert (others, probe.field("next_port")) == ([0, 0, 0], (1,))


def test_icmp_has_no_ports():
    probe = CProbe(layout.probe_bytes(mark_of("icmp", 4), None))
    assert (probe.field("ports"), probe.field("next_port")) == ((0, 0, 0, 0), (0,))


@pytest.mark.parametrize("family", [4, 6])
def test_there_is_room_for_the_answers_that_udp_learns(family):
    """One for each of the ports that fit: as sent, and after each translation."""
    assert len(patterns(mark_of("udp", family))) + CONSTANTS["PORTS"] <= CONSTANTS["PATTERNS"]


def test_indices_that_bpf_takes_modulo_a_size_stay_within_it():
    for name in ("FOLLOWED", "PATTERNS", "PORTS"):
        assert CONSTANTS[name] & (CONSTANTS[name] - 1) == 0, f"{name} is no power of two"
