"""A document in which every text is an attack on the reader's terminal."""

from __future__ import annotations

from msgspec.structs import replace

from documents.parts import NATIVE, SENT_AT
from documents.pings import SPLIT
from tracer.document import (
    Addresses,
    Capture,
    Change,
    Culprit,
    Decision,
    Finding,
    Flow,
    HookFunction,
    Hop,
    Host,
    LegTrace,
    Place,
    Verdict,
)

ATTACK = (
    "\x1b[2J\x1b]0;owned\x07[red]gone[/red] [link=http://evil.example]click[/link]\r\u202egnp.exe\u200b\x9b31m"
    "\nDelivered: :smile: \u2028[/]"
)
"""Escape sequences, rich markup, emoji codes, bidi overrides, invisible characters, new lines."""

_RULE = f'-A evil -m comment --comment "{ATTACK}" -j DROP'
_END = Place(ATTACK, ATTACK, ATTACK, None, ATTACK, ATTACK)
_CHANGE = Change(ATTACK, ATTACK, ATTACK, ATTACK, restored=False)

HOSTILE = replace(
    SPLIT,
    flow=Flow(ATTACK, ATTACK, _END, _END),
    host=Host(ATTACK, ATTACK, ATTACK, ATTACK),
    capture=Capture("link", "tcx", (ATTACK,), 1, 2, (_CHANGE,), (ATTACK,)),
    hooks=(
        HookFunction(ATTACK, "ipv4", ATTACK, 1, 0, ATTACK, NATIVE, ATTACK, ATTACK),
        HookFunction(ATTACK, "ipv4", ATTACK, 2, 0, ATTACK, "iptables-nft", ATTACK, ATTACK),
    ),
    legs=(
        LegTrace(
            "request",
            (
                Hop(SENT_AT, ATTACK, ATTACK, ATTACK, ATTACK, ATTACK, (), Addresses(ATTACK, "x")),
                Hop(SENT_AT, ATTACK, "egress", ATTACK, ATTACK, ATTACK),
                Hop(
                    SENT_AT,
                    ATTACK,
                    "INPUT",
                    ATTACK,
                    ATTACK,
                    ATTACK,
                    (
                        Decision(NATIVE, "inet", ATTACK, ATTACK, 1, 2, _RULE, f"jump {ATTACK}", ATTACK),
                        Decision(NATIVE, "inet", ATTACK, ATTACK + "2", 3, 4, _RULE, ATTACK, ATTACK),
                        Decision(NATIVE, "inet", ATTACK, ATTACK + "2", 3, 4, _RULE, "drop", ATTACK),
                    ),
                ),
                Hop(SENT_AT, ATTACK, "freed", None, "", "", detail=f"{ATTACK} {ATTACK}"),
                Hop(SENT_AT, ATTACK, "socket", None, "", "", detail=ATTACK),
            ),
        ),
        LegTrace(
            "reply",
            (
                Hop(
                    SENT_AT,
                    ATTACK,
                    "INPUT",
                    None,
                    "",
                    "",
                    (Decision(NATIVE, "inet", ATTACK, ATTACK, 1, 2, _RULE, ATTACK, ATTACK),),
                ),
            ),
        ),
    ),
    verdict=Verdict(
        "request_lost",
        "request",
        ATTACK,
        "inferred",
        Culprit(
            "rule",
            ATTACK,
            "INPUT",
            ATTACK,
            NATIVE,
            "inet",
            ATTACK,
            ATTACK + "2",
            3,
            4,
            _RULE,
            "drop",
            ATTACK,
            ATTACK,
            ATTACK,
        ),
        ATTACK,
    ),
    findings=(Finding(ATTACK, "critical", ATTACK, (ATTACK,), (ATTACK, f"$ {ATTACK}")),),
)
