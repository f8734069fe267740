"""Streams that are closed, full, or whose reader has gone away."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from tracer_command import command, complaint, environment, tracer

RECORDED = ("replay", "healthy", "--recorded")


def run_to(stdout, *arguments):
    return subprocess.run(
        command(*arguments), stdout=stdout, stderr=subprocess.PIPE, text=True, check=False, env=environment()
    )


@pytest.fixture
def closed_pipe():
    """Return the end of a pipe from which nobody reads any more, as after `| head`."""
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


@pytest.fixture
def full():
    with Path("/dev/full").open("w") as stream:
        yield stream


def test_reader_that_has_seen_enough_changes_nothing(closed_pipe):
    done = run_to(closed_pipe, *RECORDED)
    assert (done.returncode, done.stderr) == (0, "")


def test_document_that_nobody_takes_is_an_error(closed_pipe):
    done = run_to(closed_pipe, *RECORDED, "--json", "-")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("tracer: cannot write to standard output: Broken pipe.")
    assert "Exception ignored" not in done.stderr


@pytest.mark.parametrize("arguments", [RECORDED, (*RECORDED, "--json", "-"), (*RECORDED, "--json", "/dev/full")])
def test_no_room(full, arguments):
    done = run_to(full, *arguments)
    assert done.returncode == 2
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("tracer: "))
    assert "No space left on device" in line
    assert done.stderr.endswith(f"{line}\n")


def test_error_that_nobody_can_read_keeps_its_status(full):
    done = subprocess.run(command("trace", "here", "there"), stderr=full, check=False, env=environment())
    assert done.returncode == 2


@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"])
def test_streams_may_be_closed(closed):
    under = ["sh", "-c", f'exec "$@" {closed}', "sh"]
    done = tracer(*RECORDED, under=under)
    assert (done.returncode, done.stderr) == (0, "")
    assert bool(done.stdout) == ("1>&-" not in closed)


def test_document_alone_goes_to_stdout():
    done = tracer(*RECORDED, "--json", "-")
    assert done.returncode == 0
    assert done.stdout.startswith('{\n  "scenario": "healthy"')
    assert done.stderr.startswith("6 of 6 probes did what the scenario expects")


def test_document_is_not_written_when_nothing_was_traced(tmp_path):
    complaint(tracer("replay", "no-such", "--json", str(tmp_path / "document.json")), 2)
    assert list(tmp_path.iterdir()) == []
