import shutil

import pytest

from tracer import resources


@pytest.fixture
def recorded(tmp_path):
    """Return a copy of a scenario's folder, with its recording."""
    return shutil.copytree(resources.folder("scenarios") / "healthy", tmp_path / "healthy")
