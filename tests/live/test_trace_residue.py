"""Nothing is left of a run that is killed, at many points of it, nor of one that is interrupted."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from trace_lab import LOGGERS, load, set_sysctl, wait_until_nothing_is_left
from tracer_command import command, environment

from tracer import sysctl
from tracer.journal import RUN_FOLDER
from tracer.netns import run_in

KILLER = Path(__file__).with_name("trace_kills.py")
KILLS, POINTS, REPLAY_POINTS = 25, 6, 3
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
TAG = "TRACER_TEST_RUN"
SECONDS = 20
INTERRUPTED = 130


@dataclass(frozen=True)
class Run:
    """A run, and the environment variable by which all of its processes are known."""

    process: subprocess.Popen[str]
    tag: str

    def processes(self) -> list[int]:
        """Return what is alive of the run: itself, the builder of probes, the watchdog, programs that it called."""
        return [int(pid) for pid in _pids() if self.tag in _environment(pid)]

    def journals(self) -> list[str]:
        """Return what the run has written down and not removed."""
        return journals(self.process.pid)


def journals(pid: int) -> list[str]:
    """Return the names of the files in which a process has written down what it set."""
    with contextlib.suppress(FileNotFoundError):
        return [path.name for path in RUN_FOLDER.iterdir() if path.name.startswith(f"{pid}-")]
    return []


def _pids() -> Iterator[str]:
    return (path.name for path in Path("/proc").iterdir() if path.name.isdecimal())


def _environment(pid: str) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/environ").read_bytes().decode("utf-8", "replace")
    return ""


@contextlib.contextmanager
def running(*arguments: str) -> Iterator[Run]:
    """Run `tracer ARGUMENTS`, and kill it at the end if it still runs."""
    with started(command(*arguments), subprocess.DEVNULL) as run:
        yield run


@contextlib.contextmanager
def started(program: list[str], stdin: int) -> Iterator[Run]:
    tag = secrets.token_hex(8)
    process = subprocess.Popen(
        program,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(**{TAG: tag}),
    )
    with process:
        try:
            yield Run(process, tag)
        finally:
            process.kill()


def tracing(lab, *options: str) -> list[str]:
    """Return the arguments of a trace between the lab's pods."""
    ends = (f"netns:{path_of(netns)}" for netns in (lab.client, lab.server))
    return ["trace", *ends, "--node", f"netns:{path_of(lab.node)}", *options]


def path_of(netns):
    return netns.path.replace("/self/", f"/{os.getpid()}/")


def wait_until(condition, what):
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.005)


def wait_until_gone(run):
    """Wait until the run's last process, the watchdog, is done, and find nothing written down."""
    wait_until(lambda: not run.processes(), "a process is left")
    assert run.journals() == []


def duration(*arguments: str) -> float:
    """Return how long a run takes that nobody disturbs, in seconds."""
    started = time.monotonic()
    with running(*arguments) as run:
        run.process.communicate(timeout=60)
        assert run.process.returncode in (0, 1)
    return time.monotonic() - started


def end_after(run, seconds, number):
    """Send a signal to the run so many seconds after its start, unless it has ended by then."""
    try:
        run.process.wait(seconds)
    except subprocess.TimeoutExpired:
        run.process.send_signal(number)


def is_watchdog(pid):
    with contextlib.suppress(OSError):
        return b"watchdog.py" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


@pytest.fixture
def filtered_lab(traced_lab):
    """Return a lab with both backends in the node and in a pod, so that everything is set that ever is."""
    for netns in (traced_lab.node, traced_lab.server):
        load(netns, "iptables-legacy", "-A INPUT -j ACCEPT", "-A FORWARD -j ACCEPT")
        load(netns, "iptables-nft", "-A INPUT -j ACCEPT", "-A FORWARD -j ACCEPT")
    return traced_lab


def test_kill_at_many_lines_of_a_trace(preparation, filtered_lab):
    """From the first line of a run whose programs are compiled to its last."""
    lab = filtered_lab
    request = {
        "source": [lab.client.label, path_of(lab.client)],
        "destination": [lab.server.label, path_of(lab.server)],
        "node": ["node", path_of(lab.node)],
        "protocol": "icmp",
        "port": None,
        "family": 4,
        "timeout_s": 5,
        "known": [],
    }
    with started([sys.executable, str(KILLER)], subprocess.PIPE) as killer:

        def traced(at: int | None) -> dict[str, int]:
            killer.process.stdin.write(json.dumps(request | {"at": at}) + "\n")
            killer.process.stdin.flush()
            return json.loads(killer.process.stdout.readline())

        assert killer.process.stdout.readline() == '"ready"\n'
        whole = traced(None)["lines"]
        assert whole > 1000
        for point in range(KILLS):
            run = traced(whole * (point + 1) // (KILLS + 1))
            assert run["died"]
            wait_until(lambda: killer.processes() == [killer.process.pid], "a process is left")
            assert journals(run["pid"]) == []
            wait_until_nothing_is_left(preparation, lab)
        killer.process.stdin.close()
        assert killer.process.wait(SECONDS) == 0


def test_kill_at_some_points_of_a_command(preparation, filtered_lab):
    """From its start, while modules are loaded and programs compiled, to its end."""
    arguments = tracing(filtered_lab)
    whole = duration(*arguments)
    for point in range(POINTS):
        with running(*arguments) as run:
            end_after(run, whole * (point + 1) / POINTS, signal.SIGKILL)
            run.process.wait(SECONDS)
        wait_until_gone(run)
        wait_until_nothing_is_left(preparation, filtered_lab)


def is_set(lab):
    """Tell whether a trace has changed the node's setting, which it does last but one before it sends the probe."""
    return run_in(lab.node, lambda: sysctl.read(LOGGERS[4])) != "NONE"


@contextlib.contextmanager
def waiting(lab) -> Iterator[Run]:
    """Run a trace that has set everything, and waits for an answer that does not come."""
    set_sysctl(lab.server, "net.ipv4.icmp_echo_ignore_all", 1)
    with running(*tracing(lab, "--timeout", "30")) as run:
        wait_until(lambda: is_set(lab), "the trace sets nothing")
        yield run


def test_kill_while_it_waits(preparation, filtered_lab):
    with waiting(filtered_lab) as run:
        run.process.kill()
    wait_until_gone(run)
    wait_until_nothing_is_left(preparation, filtered_lab)


def test_kill_with_the_watchdog(filtered_lab, preparation):
    """Then the first act of the next run, whoever's it is, undoes what is left."""
    with waiting(filtered_lab) as run:
        wait_until(lambda: any(map(is_watchdog, run.processes())), "there is no watchdog")
        for pid in sorted(run.processes(), key=lambda pid: pid == run.process.pid):  # the watchdog first
            os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not run.processes(), "a process is left")
    set_sysctl(filtered_lab.server, "net.ipv4.icmp_echo_ignore_all", 0)
    with running(*tracing(filtered_lab)) as following:
        out, _ = following.process.communicate(timeout=SECONDS)
        assert following.process.returncode == 0, out
    assert run.journals() == []
    wait_until_nothing_is_left(preparation, filtered_lab)


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_interrupt_while_it_waits(preparation, filtered_lab, number):
    with waiting(filtered_lab) as run:
        run.process.send_signal(number)
        out, err = run.process.communicate(timeout=SECONDS)
    assert (run.process.returncode, out) == (INTERRUPTED, "")
    assert err.strip() == "tracer: interrupted: everything that was set is undone"
    assert run.journals() == []
    assert run.processes() == []
    wait_until_nothing_is_left(preparation, filtered_lab, timeout_s=0.5)


def test_interrupt_at_some_points_of_a_command(preparation, filtered_lab):
    """As soon as it listens to signals it says that it was interrupted; before, they end it as they end any program."""
    arguments = tracing(filtered_lab)
    whole = duration(*arguments)
    for point, number in zip(range(POINTS), itertools.cycle(SIGNALS), strict=False):
        with running(*arguments) as run:
            end_after(run, whole * (point + 1) / POINTS, number)
            _, err = run.process.communicate(timeout=SECONDS)
        assert run.process.returncode in (0, INTERRUPTED, -number), err
        assert "Traceback" not in err
        assert run.processes() == []
        assert run.journals() == []
        wait_until_nothing_is_left(preparation, filtered_lab, timeout_s=0.5)


def test_end_a_replay_at_some_points():
    """Its namespaces go with its processes: nobody else holds them."""
    arguments = ["replay", "healthy"]
    whole = duration(*arguments)
    for point, number in itertools.product(range(REPLAY_POINTS), (signal.SIGKILL, signal.SIGINT)):
        with running(*arguments) as run:
            end_after(run, whole * (point + 0.6) / REPLAY_POINTS, number)
            _, err = run.process.communicate(timeout=SECONDS)
        assert run.process.returncode in (0, INTERRUPTED, -number), err
        assert "Traceback" not in err
        wait_until_gone(run)
