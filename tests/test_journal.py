"""Journals that cannot be written; tests/live/test_residue.py has those that can."""

from __future__ import annotations

import pytest

from tracer.errors import CannotTraceError
from tracer.journal import write_journal


def test_folder_that_does_not_exist_is_an_error(tmp_path):
    with pytest.raises(CannotTraceError, match=f"there is no folder {tmp_path / 'no'}"):
        write_journal(tmp_path / "no" / "run" / "1.json", [])


def test_file_in_the_place_of_the_folder_is_an_error(tmp_path):
    (tmp_path / "run").write_text("not a folder")
    with pytest.raises(CannotTraceError, match="is not a folder that only we can write to"):
        write_journal(tmp_path / "run" / "1.json", [])
