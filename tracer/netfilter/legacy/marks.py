"""Marks, of the packet and of its connection, and the target CT that sets a connection up."""

from __future__ import annotations

from tracer.netfilter.legacy.extension import Context, Extension, no_options
from tracer.netfilter.legacy.text import named_bits, negation, string, value_and_mask, words

CONNMARK_SHIFTS = {0: "--left-shift-mark", 1: "--right-shift-mark"}
NOTRACK, NOTRACK_ALIAS, ZONE_ORIGINAL, ZONE_REPLY, ZONE_MARK, CT_KNOWN = 0x01, 0x02, 0x04, 0x08, 0x10, 0x1F
# Bit numbers: enum ip_conntrack_events of linux/netfilter/nf_conntrack_common.h.
EVENTS = tuple(
    (1 << bit, name)
    for bit, name in enumerate(
        ("new", "related", "destroy", "reply", "assured", "protoinfo", "helper", "mark", "natseqinfo", "secmark")
    )
)
EXPECTATION_EVENTS = ((0x1, "new"),)


def mark(_: Context, value: int, mask: int, invert: int) -> str:
    """Render `-m mark` and `-m connmark`."""
    return f"{negation(invert)}--mark {value_and_mask(value, mask)}"


def set_mark(_: Context, value: int, mask: int) -> str:
    """Render `-j MARK`."""
    return f"--set-xmark {value:#x}/{mask:#x}"


def connmark_2(
    _: Context, value: int, mask: int, packet_mask: int, shift: int, bits: int, operation: int
) -> str | None:
    """Render `-j CONNMARK`."""
    masks = f"--nfmask {packet_mask:#x} --ctmask {mask:#x}"
    operations = (f"--set-xmark {value:#x}/{mask:#x}", f"--save-mark {masks}", f"--restore-mark {masks}")
    if operation >= len(operations) or shift not in CONNMARK_SHIFTS:
        return None
    return words(operations[operation], f"{CONNMARK_SHIFTS[shift]} {bits}" if bits else "")


def connmark_1(context: Context, value: int, mask: int, packet_mask: int, operation: int) -> str | None:
    """Render revision 1, which cannot shift."""
    return connmark_2(context, value, mask, packet_mask, 0, 0, operation)


def ct_1(
    _: Context, flags: int, zone: int, events: int, expectations: int, helper: bytes, timeout: bytes, _ct: int
) -> str | None:
    """Render `-j CT`."""
    if flags & NOTRACK_ALIAS:
        return ""
    named, expected = named_bits(events, EVENTS), named_bits(expectations, EXPECTATION_EVENTS)
    if flags & ~CT_KNOWN or named is None or expected is None:
        return None
    return words(
        "--notrack" if flags & NOTRACK else "",
        f"--helper {string(helper)}" if helper[0] else "",
        f"--timeout {string(timeout)}" if timeout[0] else "",
        f"--ctevents {named}" if named else "",
        f"--expevents {expected}" if expected else "",
        _zone(flags, zone),
    )


def _zone(flags: int, zone: int) -> str:
    if not (zone or flags & ZONE_MARK):
        return ""
    direction = flags & (ZONE_ORIGINAL | ZONE_REPLY)
    option = {ZONE_ORIGINAL: "--zone-orig", ZONE_REPLY: "--zone-reply"}.get(direction, "--zone")
    return f"{option} {'mark' if flags & ZONE_MARK else zone}"


def ct_0(
    context: Context, flags: int, zone: int, events: int, expectations: int, helper: bytes, _ct: int
) -> str | None:
    """Render revision 0, which has no timeout policy."""
    return ct_1(context, flags, zone, events, expectations, helper, b"\0", _ct)


def ct_name(_: Context, flags: int, *_members: bytes | int) -> str:
    """Return `NOTRACK` for a target that was written as `-j NOTRACK`."""
    return "NOTRACK" if flags & NOTRACK_ALIAS else "CT"


MATCHES = (
    Extension("mark", 1, "IIB", mark, "linux/netfilter/xt_mark.h"),
    Extension("connmark", 1, "IIB", mark, "linux/netfilter/xt_connmark.h"),
)
TARGETS = (
    Extension("CONNMARK", 1, "IIIB", connmark_1, "linux/netfilter/xt_connmark.h"),
    Extension("CONNMARK", 2, "IIIBBB", connmark_2, "linux/netfilter/xt_connmark.h"),
    Extension("CT", 0, "HHII16sP", ct_0, "linux/netfilter/xt_CT.h", alias=ct_name),
    Extension("CT", 1, "HHII16s32sP", ct_1, "linux/netfilter/xt_CT.h", alias=ct_name),
    Extension("CT", 2, "HHII16s32sP", ct_1, "linux/netfilter/xt_CT.h", alias=ct_name),
    Extension("MARK", 2, "II", set_mark, "linux/netfilter/xt_mark.h"),
    Extension("NOTRACK", 0, "", no_options, "net/netfilter/xt_CT.c"),
)
