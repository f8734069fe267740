"""`tracer cleanup`, over journals of killed runs in a folder of the test."""

import os

import pytest
from click.testing import CliRunner

from tracer import journal
from tracer.cli.cleanup import cleanup
from tracer.journal import Setting, Undone, undo_dead, write_journal
from tracer.netns import Netns

SETTING = Setting(
    Netns("netns:\x1b[31mred", "/run/netns/no such namespace", 1), "net.netfilter.nf_log.2", "NONE", "nfnetlink_log"
)


def run_cleanup():
    """Return the exit status and what is printed."""
    result = CliRunner().invoke(cleanup, standalone_mode=False)
    assert result.exception is None
    return result.return_value, result.output


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "undo_dead", lambda: undo_dead(tmp_path / "run"))
    return tmp_path / "run"


def test_nothing_to_clean_up(folder):
    assert run_cleanup() == (0, "Nothing was left to clean up.\n")


def test_what_was_undone_is_said_without_control_characters(folder):
    os.close(write_journal(folder / "1.json", [SETTING]))
    status, said = run_cleanup()
    assert status == 0
    assert r"netns:\x1b[31mred is gone with the namespace." in said
    assert len(said.splitlines()) == 1
    assert not folder.exists()


def test_what_could_not_be_undone_is_an_error(monkeypatch):
    monkeypatch.setattr(journal, "undo_dead", lambda: [Undone(SETTING, "refused", "Read-only file system")])
    status, said = run_cleanup()
    assert status == 3
    assert "Read-only file system" in said
