"""What somebody wrote in a comment, a chain's name or a device's must not act on the reader's terminal."""

from __future__ import annotations

import unicodedata

import documents
import pytest
from replays import HOSTILE_REPLAY
from streams import SGR, printed, printed_on_terminal

from tracer.report.hooks import print_hooks
from tracer.report.replay import print_replay
from tracer.report.terminal import print_trace

PRINTERS = {
    "trace": (print_trace, documents.HOSTILE, {}),
    "every rule": (print_trace, documents.HOSTILE, {"all_rules": True}),
    "replay": (print_replay, HOSTILE_REPLAY, {}),
    "hooks": (print_hooks, documents.HOSTILE.hooks, {}),
}
BIDI = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c"


@pytest.fixture(params=PRINTERS)
def printer(request):
    return PRINTERS[request.param]


def harmful(text):
    """Return the characters that are more than a printed character or the end of a line."""
    return {character for character in text if unicodedata.category(character)[0] in "CZ"} - {" ", "\n"}


def test_no_control_character_reaches_a_file(printer):
    function, value, options = printer
    assert harmful(printed(function, value, **options)) == set()


def test_a_terminal_gets_no_escape_sequence_but_colours(printer):
    function, value, options = printer
    assert harmful(SGR.sub("", printed_on_terminal(function, value, **options))) == set()


def test_it_is_shown_as_what_it_is(printer):
    function, value, options = printer
    text = printed(function, value, width=1000, **options)
    assert r"\x1b[2J\x1b]0;owned\x07[red]gone[/red] [link=http://evil.example]click[/link]" in text
    assert r"\r\u202egnp.exe\u200b\x9b31m\nDelivered: :smile: \u2028[/]" in text


def test_it_starts_no_line_of_its_own(printer):
    function, value, options = printer
    text = printed(function, value, width=1000, **options)
    assert not [line for line in text.splitlines() if line.startswith("Delivered")]


def test_escaping_covers_every_bidi_control():
    from tracer.report.rows import safe

    assert harmful(safe(BIDI, ascii_only=False)) == set()
    assert safe("a\u202eb", ascii_only=True) == r"a\u202eb"
