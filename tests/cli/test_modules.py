"""Python modules that are missing: one sentence, which names the module."""

from __future__ import annotations

import pytest
from tracer_command import complaint, tracer

BLOCK = """
import os
import sys


class Blocker:
    def find_spec(self, name, path=None, target=None):
        if os.environ["BLOCKED"] in (name, name.partition(".")[0]):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Blocker())
"""


@pytest.fixture
def without(tmp_path):
    """Return a function that runs tracer where a module cannot be imported."""
    (tmp_path / "sitecustomize.py").write_text(BLOCK)
    return lambda module, *arguments: tracer(*arguments, PYTHONPATH=str(tmp_path), BLOCKED=module)


@pytest.mark.parametrize("module", ["rich", "msgspec", "yaml"])
def test_module_is_missing(without, module):
    said = complaint(without(module, "replay", "healthy", "--recorded"), 3)
    assert said.startswith(f"the Python module {module} is missing. Install tracer")


@pytest.mark.parametrize("module", ["bcc", "scapy", "pyroute2"])
def test_recordings_need_fewer(without, module):
    done = without(module, "replay", "healthy", "--recorded")
    assert (done.returncode, done.stderr) == (0, "")


def test_module_of_our_own_is_nothing_to_install(without):
    done = without("tracer.cli.replay", "replay", "healthy", "--recorded")
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")
