"""How one leg is shown, and the words that all parts of a report share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tracer.document import Addresses
from tracer.report.mark import Mark
from tracer.report.rows import ARROW

OUTCOME_STYLES: Mapping[str, str] = {
    "delivered": "bold green",
    "request_lost": "bold red",
    "reply_lost": "bold red",
    "rejected": "bold yellow",
    "no_reply": "bold yellow",
    "not_sent": "bold yellow",
}
VERDICT_STYLES: Mapping[str, str] = {"accept": "green", "drop": "bold red"}
SEVERITY_STYLES: Mapping[str, str] = {"critical": "bold red", "warning": "bold yellow", "info": "bold cyan"}


@dataclass(frozen=True)
class View:
    """`started_ns` is when the probe was sent, `mark` where this leg ended; `all_rules` asks for all that matched."""

    started_ns: int
    mark: Mark | None
    all_rules: bool


def elapsed(nanoseconds: int) -> str:
    """Return a time in the unit that suits it, as `+18 µs`, `+1.24 ms` or `+2.00 s`."""
    if nanoseconds < 999_500:
        return f"+{nanoseconds / 1e3:.0f} µs"
    if nanoseconds < 999_995_000:
        return f"+{nanoseconds / 1e6:.2f} ms"
    return f"+{nanoseconds / 1e9:.2f} s"


def translation(came: Addresses, left: Addresses) -> str:
    """Return what NAT changed, as `destination 10.96.0.10:53 → 192.168.86.67:53`."""
    ends = (("source", came.address_from, left.address_from), ("destination", came.address_to, left.address_to))
    return ", ".join(f"{end} {before} {ARROW} {after}" for end, before, after in ends if before != after)


def freed_words(detail: str) -> str:
    """Return what a hop says of the packet's freeing as `nf_hook_slow+0x7d: NETFILTER_DROP`."""
    function, _, reason = detail.partition(" ")
    return f"{function}: {reason_words(reason)}"


def reason_words(reason: str) -> str:
    """Return a drop reason (include/net/dropreason-core.h) without the prefix that all of them share."""
    return reason.removeprefix("SKB_DROP_REASON_") or "no reason given"
