"""One entry of a legacy table, as the text that iptables-save(8) prints.

Entries are struct ipt_entry (linux/netfilter_ipv4/ip_tables.h) and struct ip6t_entry (netfilter_ipv6/ip6_tables.h):
a header, the matches, the target. Matches and targets are struct xt_entry_match and struct xt_entry_target
(netfilter/x_tables.h), each with its own size.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from tracer.netfilter.legacy.catalogue import MATCHES, TARGETS
from tracer.netfilter.legacy.extension import Context, render
from tracer.netfilter.legacy.text import PROTOCOLS, address, negation, prefix, string, words


@dataclass(frozen=True)
class Layout:
    """Where an entry has its parts, and the flag bits that differ by family."""

    header: struct.Struct
    """Source, destination, their masks, devices in and out, their masks, protocol, flags, inverted flags."""
    offsets_at: int
    """Where target_offset and next_offset stand."""
    size: int
    """Bytes before the first match."""
    goto: int
    fragment: int


LAYOUTS = {
    "ip": Layout(struct.Struct("@4s4s4s4s16s16s16s16sHBB"), offsets_at=88, size=112, goto=0x02, fragment=0x01),
    "ip6": Layout(struct.Struct("@16s16s16s16s16s16s16s16sHxBB"), offsets_at=140, size=168, goto=0x04, fragment=0),
}
OFFSETS = struct.Struct("@HH")
SIZE = struct.Struct("@H")
EXTENSION = struct.Struct("@H29sB")  # size, name, revision
NAME_AT = 2
VERDICT = struct.Struct("@i")
ANYTHING = bytes(16)

# IPT_INV_* and IP6T_INV_*, which agree, and XT_INV_PROTO.
INVERT_IN, INVERT_OUT, INVERT_SOURCE, INVERT_DESTINATION = 0x01, 0x02, 0x08, 0x10
INVERT_FRAGMENT, INVERT_PROTOCOL = 0x20, 0x40

# Below zero a verdict is -NF_… - 1 (linux/netfilter.h) or XT_RETURN; otherwise it is the offset to go on at.
VERDICTS = {-1: "DROP", -2: "ACCEPT", -4: "QUEUE", -5: "RETURN"}


def rule_text(context: Context, entries: bytes, at: int, chains: Mapping[int, str]) -> tuple[str, str]:
    """Return what iptables-save prints after `-A CHAIN` for the entry at byte `at`, and its target.

    `chains` has the name of a chain by the offset of its first rule. The target is empty where the rule has none.
    """
    layout = LAYOUTS[context.family]
    target_at, end = target_place(layout, entries, at)
    *addresses, into, out, into_mask, out_mask, protocol, flags, invert = layout.header.unpack_from(entries, at)
    parts = [
        _host("-s", addresses[0], addresses[2], invert & INVERT_SOURCE),
        _host("-d", addresses[1], addresses[3], invert & INVERT_DESTINATION),
        _device("-i", into, into_mask, invert & INVERT_IN),
        _device("-o", out, out_mask, invert & INVERT_OUT),
        f"{negation(invert & INVERT_PROTOCOL)}-p {PROTOCOLS.get(protocol, protocol)}" if protocol else "",
        f"{negation(invert & INVERT_FRAGMENT)}-f" if flags & layout.fragment else "",
        *_matches(context, entries, at + layout.size, target_at),
    ]
    _size, name, revision = EXTENSION.unpack_from(entries, target_at)
    if name[0]:
        key = (name.partition(b"\0")[0], revision)
        payload = entries[target_at + EXTENSION.size : end]
        target, text = render(TARGETS[context.family].get(key), *key, payload, context)
        parts.append(f"-j {text}")
    elif target := _standard_target(entries, target_at, end, chains):
        parts.append(f"{'-g' if flags & layout.goto else '-j'} {target}")
    return words(*parts), target


def target_place(layout: Layout, entries: bytes, at: int) -> tuple[int, int]:
    """Return where the target of the entry at byte `at`, and the next entry, begin."""
    target_offset, next_offset = OFFSETS.unpack_from(entries, at + layout.offsets_at)
    return at + target_offset, at + next_offset


def verdict(entries: bytes, target_at: int, end: int) -> int | None:
    """Return the verdict of the target at a byte, None when it is not the standard one (struct xt_standard_target)."""
    standard = not entries[target_at + NAME_AT] and end - target_at >= EXTENSION.size + VERDICT.size
    return int(VERDICT.unpack_from(entries, target_at + EXTENSION.size)[0]) if standard else None


def _standard_target(entries: bytes, target_at: int, end: int, chains: Mapping[int, str]) -> str:
    """Return a verdict's name or the chain it jumps to; empty when it leads to the next entry."""
    code = verdict(entries, target_at, end)
    if code is None:
        return f"[{end - target_at} bytes undecoded]"
    if code < 0:
        return VERDICTS.get(code, f"[verdict {code} unknown]")
    return "" if code == end else chains.get(code, f"[byte {code}, where no chain begins]")


def _matches(context: Context, entries: bytes, at: int, end: int) -> Iterator[str]:
    while at < end:
        (size,) = SIZE.unpack_from(entries, at)
        if size < EXTENSION.size or at + size > end:
            yield f"-m [{end - at} bytes undecoded]"
            return
        yield _match(context, entries[at : at + size])
        at += size


@lru_cache(maxsize=4096)  # a table repeats its matches many times over
def _match(context: Context, match: bytes) -> str:
    _size, name, revision = EXTENSION.unpack_from(match)
    key = (name.partition(b"\0")[0], revision)
    return f"-m {render(MATCHES[context.family].get(key), *key, match[EXTENSION.size :], context)[1]}"


def _host(option: str, host: bytes, mask: bytes, invert: int) -> str:
    # The kernel compares IPv4 addresses whole, so that a host with an empty mask matches nothing and must be shown.
    anything = mask == ANYTHING[: len(mask)] and (len(host) == len(ANYTHING) or host == mask)
    return "" if anything and not invert else f"{negation(invert)}{option} {address(host)}/{prefix(mask)}"


@lru_cache(maxsize=4096)
def _device(option: str, name: bytes, mask: bytes, invert: int) -> str:
    """Render a device: the mask covers the bytes to compare, with the final NUL unless the name is a prefix."""
    covered = name[: mask.find(0)] if 0 in mask else name
    if not covered:
        return f"! {option} +" if invert else ""
    wildcard = "" if covered.endswith(b"\0") or len(covered) == len(name) else "+"
    return f"{negation(invert)}{option} {string(covered)}{wildcard}"
