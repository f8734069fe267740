from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = (Path(__file__).parent / "conftest.py").read_text()
CONFIGURATION = "[pytest]\nmarkers = live: needs this machine's kernel\n"
PASSES = "def test_passes():\n    pass\n"
LIVE_TESTS = {
    "passes": PASSES,
    "skips": "import pytest\n\ndef test_skips():\n    pytest.skip('no time')\n",
    "skips its file": "import pytest\n\npytest.importorskip('no_such_module')\n",
}


def run_pytest(tmp_path: Path, machine: str | None, live_test: str, ci: str) -> str:
    """Return pytest's summary of a live test under our conftest; `machine` is why this one cannot run it."""
    (tmp_path / "live").mkdir()
    (tmp_path / "pytest.ini").write_text(CONFIGURATION)
    (tmp_path / "conftest.py").write_text(f"{CONFTEST}\n\ndef why_not_live():\n    return {machine!r}\n")
    (tmp_path / "live" / "test_live.py").write_text(LIVE_TESTS[live_test])
    (tmp_path / "test_unit.py").write_text(PASSES)
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rs", tmp_path],
        env={**os.environ, "CI": ci},
        capture_output=True,
        text=True,
        check=False,
    )
    return "\n".join(run.stdout.splitlines()[-2:])


@pytest.mark.parametrize(
    "machine, live_test, ci, expected",
    [
        (None, "passes", "true", "2 passed"),
        (None, "passes", "", "2 passed"),
        (None, "skips", "true", "1 failed, 1 passed"),
        (None, "skips", "", "1 failed, 1 passed"),
        (None, "skips its file", "true", "1 error"),
        (None, "skips its file", "", "1 error"),
        ("not root", "passes", "true", "1 passed, 1 error"),
        ("not root", "passes", "", "1 passed, 1 skipped"),
        ("not root", "skips its file", "true", "1 error"),
        ("not root", "skips its file", "", "1 passed, 1 skipped"),
    ],
)
def test_live_test_is_skipped_only_where_the_machine_cannot_run_it(tmp_path, machine, live_test, ci, expected):
    assert expected in run_pytest(tmp_path, machine, live_test, ci)


def test_reason_of_the_skip_is_printed(tmp_path):
    assert "not root" in run_pytest(tmp_path, "not root", "passes", "")
