"""The probe's signatures as BPF compares them: words of eight bytes at offsets from the network header.

See bpf/probe.h for how they are used, and for the answer to plain UDP, whose pattern is learned as the request goes by.
"""

from __future__ import annotations

from dataclasses import dataclass

from tracer.netfilter.evidence.signature import Field, ProbeMark, Signature, signatures

WORD_BYTES = 8
WORDS = 4
_NETWORK_HEADER = {4: 20, 6: 40}  # without options and extension headers: with them, a packet is never ours
_LEGS = {"request": 0, "reply": 1}


@dataclass(frozen=True)
class Word:
    """Eight bytes of a packet: those at `at` must be `value` wherever `mask` has a one."""

    at: int = 0
    mask: bytes = bytes(WORD_BYTES)
    value: bytes = bytes(WORD_BYTES)


@dataclass(frozen=True)
class Pattern:
    """A packet of IP protocol `protocol` in which every word fits belongs to leg 0 (request) or 1 (reply)."""

    protocol: int
    leg: int
    words: tuple[Word, ...]


def patterns(mark: ProbeMark) -> tuple[Pattern, ...]:
    """Return the patterns of the probe, of its answers, and of ICMP errors that quote it."""
    start = _NETWORK_HEADER[mark.family]
    return tuple(_pattern(signature, start) for signature in signatures(mark) if signature.fields)


def _pattern(signature: Signature, start: int) -> Pattern:
    words = tuple(_word(field, start) for field in signature.fields)
    return Pattern(signature.protocol, _LEGS[signature.leg], words + (Word(),) * (WORDS - len(words)))


def _word(field: Field, start: int) -> Word:
    """Return the word for a field's first eight bytes; half a token is 64 random bits, which tells it well enough."""
    value = field.value[:WORD_BYTES]
    mask = field.mask[:WORD_BYTES] or b"\xff" * len(value)
    return Word(start + field.offset, mask.ljust(WORD_BYTES, b"\0"), value.ljust(WORD_BYTES, b"\0"))
