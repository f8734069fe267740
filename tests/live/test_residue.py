"""What is set on the node is as it was after any end of a run, and nothing of ours is left."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from live.changes_run import NAMES, VALUE
from pyroute2 import netns as netns_names

from tracer import sysctl
from tracer.changes import Changes, recover
from tracer.errors import CannotTraceError
from tracer.journal import Setting, write_journal
from tracer.netns import open_netns, run_in
from tracer.netns_lock import holder, lock_netns

RUN = Path(__file__).parent / "changes_run.py"
NAME = NAMES[0]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "run"


@pytest.fixture
def netns():
    name = f"residue-{secrets.token_hex(4)}"
    netns_names.create(name)
    try:
        yield open_netns(f"netns:{name}", f"/run/netns/{name}")
    finally:
        with contextlib.suppress(FileNotFoundError):
            netns_names.remove(name)


def wait_until(condition, what, timeout_s=20):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.005)


def values(netns):
    return [run_in(netns, lambda name=name: sysctl.read(name)) for name in NAMES]


def put(netns, *names, value=VALUE):
    for name in names:
        run_in(netns, lambda name=name: sysctl.write(name, value))


def processes_about(folder):
    """Return the processes that have `folder` in their command line: the watchdogs of runs with this folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if f"watchdog.py\0{folder}\0".encode() in path.read_bytes():
                found.append(int(path.parent.name))
    return found


def wait_for_watchdogs(folder):
    wait_until(lambda: not processes_about(folder), "a watchdog is left")


def start(action, folder, netns, code=None):
    """Start the given program, or changes_run.py, which is told when to go on through its standard input."""
    program = [str(RUN)] if code is None else ["-c", code]
    return subprocess.Popen(
        [sys.executable, *program, folder, netns.path, action],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (RUN.parents[1], RUN.parents[2])))},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


HOLD = """
import sys
from live.changes_run import NAMES, VALUE
from pathlib import Path
from tracer.changes import Changes
from tracer.netns import open_netns
from tracer.netns_lock import lock_netns
netns = open_netns("netns:test", sys.argv[2])
with lock_netns([netns], print, 20), Changes(Path(sys.argv[1])) as changes:
    for name in NAMES:
        changes.set_sysctl(netns, name, VALUE)
    print("set", flush=True)
    sys.stdin.readline()
print("done", flush=True)
"""


@contextlib.contextmanager
def held(folder, netns):
    """Run a process that has set both sysctls, and holds them."""
    with start("", folder, netns, HOLD) as process:
        try:
            assert process.stdout.readline() == "set\n"
            yield process
        finally:
            process.kill()


def test_settings_are_restored_and_listed(folder, netns):
    before = values(netns)
    with Changes(folder) as changes:
        for name in NAMES:
            changes.set_sysctl(netns, name, VALUE)
        assert values(netns) == [VALUE, VALUE]
        assert [change.restored for change in changes.listing()] == [False, False]
        assert len(processes_about(folder)) == 1
    assert values(netns) == before
    assert [(c.netns, c.what, c.before, c.after, c.restored) for c in changes.listing()] == [
        (netns.label, name, old, VALUE, True) for name, old in zip(NAMES, before, strict=True)
    ]
    assert changes.notes == []
    assert not folder.exists()
    assert processes_about(folder) == []


def test_settings_are_restored_when_the_run_fails(folder, netns):
    before = values(netns)

    def fail():
        with Changes(folder) as changes:
            changes.set_sysctl(netns, NAME, VALUE)
            raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        fail()
    assert values(netns) == before
    assert not folder.exists()


def test_kill_at_every_line_leaves_nothing(folder, netns):
    before = values(netns)
    count = 0
    with start("set", folder, netns) as process:
        died = True
        while died:
            process.stdin.write("\n")
            process.stdin.flush()
            result = json.loads(process.stdout.readline())
            died, count = result["died"], result["count"]
            where = f"killed at line {count}"
            wait_for_watchdogs(folder)
            assert values(netns) == before, where
            assert not folder.exists(), where
    assert count > 80


def test_recover_that_is_killed_at_every_line_is_made_up_for(folder, netns):
    before = values(netns)
    settings = [Setting(netns, name, old, VALUE) for name, old in zip(NAMES, before, strict=True)]
    with start("recover", folder, netns) as process:
        died = True
        while died:
            os.close(write_journal(folder / "1.json", settings))
            put(netns, *NAMES)
            process.stdin.write("\n")
            process.stdin.flush()
            result = json.loads(process.stdout.readline())
            died = result["died"]
            recover(folder)
            assert values(netns) == before, result
            assert not folder.exists(), result
    assert result["count"] > 40


def leave_unwatched(folder, netns):
    """Kill a run that has set something, and its watchdog before it."""
    with held(folder, netns) as process:
        for pid in processes_about(folder):
            os.kill(pid, signal.SIGKILL)
        process.kill()
    assert values(netns) == [VALUE, VALUE]


def test_the_next_run_undoes_what_a_run_killed_with_its_watchdog_left(folder, netns):
    before = values(netns)
    leave_unwatched(folder, netns)
    undone = recover(folder)
    assert [(change.what, change.before, change.restored) for change in undone] == [
        (name, old, True) for name, old in reversed(list(zip(NAMES, before, strict=True)))
    ]
    assert values(netns) == before
    assert not folder.exists()


def test_the_watchdog_outlives_the_signals_that_end_a_run(folder, netns):
    before = values(netns)
    with held(folder, netns) as process:
        (watchdog,) = processes_about(folder)
        wait_until(lambda: ignores_signals(watchdog), "the watchdog has not started")
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            os.kill(watchdog, number)
        process.kill()
    wait_for_watchdogs(folder)
    assert values(netns) == before
    assert not folder.exists()


def ignores_signals(pid):
    """Say whether SIGHUP, SIGINT and SIGTERM are ignored; SigIgn in proc_pid_status(5)."""
    status = Path(f"/proc/{pid}/status").read_text()
    mask = int(status.split("SigIgn:")[1].split()[0], 16)
    return all(mask >> (number - 1) & 1 for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP))


def test_a_watchdog_that_ended_early_is_told(folder, netns):
    before = values(netns)
    with Changes(folder) as changes:
        changes.set_sysctl(netns, NAME, VALUE)
        os.kill(processes_about(folder)[0], signal.SIGKILL)
    assert values(netns) == before
    assert "The watchdog ended with status -9" in changes.notes[0]


def test_a_value_that_was_there_is_not_ours(folder, netns):
    put(netns, NAME)
    with Changes(folder) as changes:
        changes.set_sysctl(netns, NAME, VALUE)
        assert not folder.exists()
    assert values(netns)[0] == VALUE
    assert changes.listing() == ()


def test_a_later_change_by_somebody_else_stays(folder, netns):
    with Changes(folder) as changes:
        changes.set_sysctl(netns, NAME, VALUE)
        put(netns, NAME, value="NONE")
        before_ours = changes.listing()[0].before
    assert before_ours != "NONE", "the test needs a third value"
    assert values(netns)[0] == "NONE"
    assert [change.restored for change in changes.listing()] == [False]
    assert "somebody else has changed it" in changes.notes[0]
    assert not folder.exists()


def test_what_the_kernel_refuses_is_not_listed_and_leaves_nothing(folder, netns):
    before = values(netns)
    with Changes(folder) as changes:
        with pytest.raises(CannotTraceError, match=r"nf_log\.2 to no_such_logger in .* of netns:residue"):
            changes.set_sysctl(netns, NAME, "no_such_logger")
        assert changes.listing() == ()
    assert values(netns) == before
    assert not folder.exists()


READ_ONLY = """
import sys
from pathlib import Path
from tracer.changes import Changes
from tracer.errors import CannotTraceError
from tracer.netns import open_netns
with Changes(Path(sys.argv[1])) as changes:
    try:
        changes.set_sysctl(open_netns("netns:test", sys.argv[2]), "net.netfilter.nf_log.2", "nfnetlink_log")
    except CannotTraceError as error:
        print(error)
"""


def test_a_read_only_proc_is_named(folder, netns):
    mount = 'mount --bind /proc/sys /proc/sys && mount -o remount,ro,bind /proc/sys && exec "$@"'
    run = subprocess.run(
        ["unshare", "-m", "sh", "-c", mount, "sh", sys.executable, "-c", READ_ONLY, folder, netns.path],
        cwd=RUN.parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Read-only file system" in run.stdout
    assert "outside of the container" in run.stdout
    assert not folder.exists()


def test_a_namespace_that_lost_its_name_is_found_by_its_process(folder, netns):
    before = values(netns)
    with subprocess.Popen(["nsenter", f"--net={netns.path}", "cat"], stdin=subprocess.PIPE) as inside:
        wait_until(lambda: Path(f"/proc/{inside.pid}/ns/net").stat().st_ino == netns.inum, "cat is not inside")
        leave_unwatched(folder, netns)
        netns_names.remove(Path(netns.path).name)
        assert [change.restored for change in recover(folder)] == [True, True]
        assert values(open_netns("", f"/proc/{inside.pid}/ns/net")) == before
    assert not folder.exists()


def test_a_namespace_that_is_gone_needs_no_undoing(folder, netns):
    leave_unwatched(folder, netns)
    netns_names.remove(Path(netns.path).name)
    assert [change.restored for change in recover(folder)] == [True, True]
    assert not folder.exists()


def test_two_runs_take_turns_and_neither_undoes_the_other(folder, netns):
    before = values(netns)
    programs = [start("", folder, netns, TAKE_TURNS) for _ in range(2)]
    outputs = [program.communicate()[0] for program in programs]
    assert outputs == [f"{before[0]}\n" * 10] * 2
    assert values(netns) == before
    assert not folder.exists()


TAKE_TURNS = """
import sys
from pathlib import Path
from tracer import sysctl
from tracer.changes import Changes
from tracer.netns import open_netns, run_in
from tracer.netns_lock import lock_netns
NAME, VALUE = "net.netfilter.nf_log.2", "nfnetlink_log"
netns = open_netns("netns:test", sys.argv[2])
for _ in range(10):
    with lock_netns([netns], lambda netns, pid: None, 20), Changes(Path(sys.argv[1])) as changes:
        changes.set_sysctl(netns, NAME, VALUE)
        assert run_in(netns, lambda: sysctl.read(NAME)) == VALUE
        (change,) = changes.listing()
    assert changes.listing()[0].restored
    print(change.before)
"""


def test_a_run_that_waits_for_a_killed_one_finds_the_old_value(folder, netns):
    before = values(netns)
    waits = []

    def kill_the_holder(netns, pid):
        waits.append(pid)
        os.kill(pid, signal.SIGKILL)

    with held(folder, netns) as process, lock_netns([netns], kill_the_holder, 20):
        assert waits == [process.pid]
        with Changes(folder) as changes:
            changes.set_sysctl(netns, NAME, VALUE)
            assert changes.listing()[0].before == before[0]
    wait_for_watchdogs(folder)
    assert values(netns) == before
    assert not folder.exists()


def test_a_setting_of_a_live_run_without_a_lock_is_respected(folder, netns, monkeypatch):
    monkeypatch.setattr("tracer.changes._SETTLE_S", 0.05)
    with held(folder, netns) as process, Changes(folder) as changes:
        with pytest.raises(CannotTraceError, match=f"process {process.pid} has set something"):
            changes.set_sysctl(netns, NAME, VALUE)
        assert values(netns) == [VALUE, VALUE]


def test_the_lock_names_its_holder_and_gives_up_in_time(folder, netns):
    waits = []
    with held(folder, netns) as process:
        assert holder(netns.inum) == process.pid
        by_process = open_netns("other path", f"/proc/{os.getpid()}/ns/net")
        with (
            pytest.raises(CannotTraceError, match=f"process {process.pid} is tracing in .*{netns.label}"),
            lock_netns([by_process, netns], lambda *seen: waits.append(seen), 0.05),
        ):
            pytest.fail("two runs have the lock")
        assert waits == [(netns, process.pid)]
        assert holder(by_process.inum) != os.getpid(), "the lock that was got first is let go of"


def test_the_lock_is_the_same_by_every_path(netns):
    with subprocess.Popen(["nsenter", f"--net={netns.path}", "cat"], stdin=subprocess.PIPE) as inside:
        path = f"/proc/{inside.pid}/ns/net"
        wait_until(lambda: Path(path).stat().st_ino == netns.inum, "cat is not inside")
        with (
            lock_netns([netns], lambda *seen: None, 0),
            pytest.raises(CannotTraceError, match="is tracing"),
            lock_netns([open_netns("pid", path)], lambda *seen: None, 0),
        ):
            pytest.fail("two runs have the lock")
    with lock_netns([netns, netns], lambda *seen: pytest.fail("waits for itself"), 0):
        pass
    assert holder(netns.inum) is None
