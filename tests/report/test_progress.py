from __future__ import annotations

import io

import pytest
from streams import Terminal

from tracer.report.console import open_console
from tracer.report.progress import progress


def run(stream, *phases):
    with progress(open_console(stream)) as tell:
        for phase in phases:
            tell(phase)
    return stream.getvalue()


@pytest.mark.parametrize("force", [None, "1"])
def test_nothing_is_written_where_there_is_no_terminal(force, monkeypatch):
    if force:
        monkeypatch.setenv("FORCE_COLOR", force)
    assert run(io.StringIO(), "compiling") == ""


def test_a_terminal_shows_the_phase_and_keeps_nothing():
    text = run(Terminal(), "waiting for the answer")
    assert "waiting for the answer" in text
    assert text.endswith("\x1b[?25h\r\x1b[1A\x1b[2K")  # the cursor is shown again, and the line is gone


def interrupted(stream):
    with progress(open_console(stream)) as tell:
        tell("waiting")
        raise KeyboardInterrupt


def test_the_line_is_gone_also_after_an_interruption():
    stream = Terminal()
    with pytest.raises(KeyboardInterrupt):
        interrupted(stream)
    assert stream.getvalue().endswith("\x1b[2K")


def test_phases_are_untrusted():
    text = run(Terminal(), "waiting for \x1b[2J[red]x")
    assert r"\x1b[2J[red]x" in text
    assert "\x1b[2J" not in text
