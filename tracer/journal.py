"""What was set on the node, written down before it is set, so that anyone can undo it.

A run has one journal, a JSON file in a folder below /run. It holds a lock (flock(2)) on the file for as long
as it lives, and the kernel drops the lock with the process: a journal that can be locked is one to undo. That
needs no guess from process numbers, which are reused and differ between containers.

Only the standard library: the watchdog uses this module without the tool's environment.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from tracer import sysctl
from tracer.errors import CannotTraceError
from tracer.netns import Netns, run_in

RUN_FOLDER = Path("/run/tracer")
SUFFIX = ".json"
NEW_SUFFIX = ".new"

Outcome = Literal["restored", "namespace gone", "taken over", "refused"]
"""How undoing a setting ended; `taken over`: somebody else has set another value since, which stays."""


@dataclass(frozen=True)
class Setting:
    """One sysctl of one namespace: its value before, and the value that we give it."""

    netns: Netns
    name: str
    before: str
    after: str


@dataclass(frozen=True)
class Undone:
    """What became of a setting when it was undone, and why it was refused."""

    setting: Setting
    outcome: Outcome
    reason: str = ""


@dataclass(frozen=True)
class Journal:
    """What a journal's file says: who wrote it, since which boot of the machine, and what was set."""

    pid: int
    boot: str
    settings: tuple[Setting, ...]


def write_journal(path: Path, settings: Sequence[Setting]) -> int:
    """Replace the journal at `path` atomically and return the descriptor that holds its lock.

    There is no fsync: when the machine goes down, the settings go with it (so `boot` is written down). Raise
    CannotTraceError where nothing can be written.
    """
    try:
        return _write(path, settings)
    except OSError as error:
        raise CannotTraceError(
            f"cannot write {path}, which is to say what is set: {error.strerror}",
            f"Let root write to {path.parent.parent}, with room for a small file",
        ) from error


def _write(path: Path, settings: Sequence[Setting]) -> int:
    new = path.with_name(path.name + NEW_SUFFIX)
    descriptor = _create_locked(new)
    try:
        content = asdict(Journal(os.getpid(), _boot_id(), tuple(settings)))
        os.write(descriptor, json.dumps(content).encode())
        new.rename(path)
    except BaseException:
        os.close(descriptor)
        new.unlink(missing_ok=True)
        raise
    return descriptor


def read_journal(path: Path) -> Journal:
    """Return the journal at `path`; raise FileNotFoundError, or CannotTraceError for what is none."""
    try:
        content = json.loads(path.read_bytes())
        settings = tuple(
            Setting(Netns(**entry["netns"]), entry["name"], entry["before"], entry["after"])
            for entry in content["settings"]
        )
        return Journal(content["pid"], content["boot"], settings)
    except (ValueError, KeyError, TypeError) as error:
        raise CannotTraceError(
            f"{path} should hold what a run of tracer has set, and cannot be read ({error})",
            "Look at the file, and remove it when nothing in it is set any more",
        ) from error


def journals(folder: Path) -> list[Path]:
    """Return the journals in `folder`, none if there is no folder; raise CannotTraceError when we may not look."""
    try:
        return sorted(path for path in folder.iterdir() if path.name.endswith((SUFFIX, SUFFIX + NEW_SUFFIX)))
    except FileNotFoundError:
        return []
    except PermissionError as error:
        raise CannotTraceError(
            f"not allowed to look into {folder}, where runs write down what they set", "Run as root"
        ) from error


def undo_dead(folder: Path = RUN_FOLDER) -> list[Undone]:
    """Undo what killed runs have left set; runs that live are left alone."""
    undone = [one for path in journals(folder) for one in undo_journal(path)]
    remove_folder(folder)
    return undone


def left_behind(folder: Path = RUN_FOLDER) -> list[Setting]:
    """Return what killed runs have set and `undo_dead` would undo; nothing is changed."""
    settings: list[Setting] = []
    for path in journals(folder):
        with _lock_unowned(path, wait=False) as locked:
            if locked and not path.name.endswith(NEW_SUFFIX):
                journal = read_journal(path)
                settings += journal.settings if journal.boot == _boot_id() else ()
    return settings


def undo_journal(path: Path, *, wait: bool = False) -> list[Undone]:
    """Undo what the journal at `path` lists, if its owner is dead, and remove it unless something is refused.

    A journal in use is left alone; with `wait`, its end is waited for. A half-written one is only removed: its
    owner has not set yet what it says.
    """
    with _lock_unowned(path, wait=wait) as locked:
        if not locked:
            return []
        undone = [] if path.name.endswith(NEW_SUFFIX) else _undo(read_journal(path))
        if all(one.outcome != "refused" for one in undone):
            path.unlink()
        return undone


def restore(setting: Setting) -> Undone:
    """Give the sysctl its old value back, unless somebody else has changed it since."""
    netns = _find(setting.netns)
    if netns is None:
        return Undone(setting, "namespace gone")
    try:
        return Undone(setting, run_in(netns, lambda: _restore_here(setting)))
    except (OSError, CannotTraceError) as error:
        if _find(setting.netns) is None:
            return Undone(setting, "namespace gone")
        return Undone(setting, "refused", str(error))


def remove_folder(folder: Path) -> None:
    """Remove `folder` if nothing is left in it."""
    with suppress(OSError):
        folder.rmdir()


def _undo(journal: Journal) -> list[Undone]:
    if journal.boot != _boot_id():
        return []
    return [restore(setting) for setting in reversed(journal.settings)]


def _restore_here(setting: Setting) -> Outcome:
    current = sysctl.read(setting.name)
    if current == setting.after:
        sysctl.write(setting.name, setting.before)
        return "restored"
    return "restored" if current == setting.before else "taken over"


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _create_locked(path: Path) -> int:
    """Create `path` and lock it; again, if another run tidies the folder before we have the lock."""
    while path.parent.parent.is_dir():
        try:
            _make_folder(path.parent)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        except FileNotFoundError:
            continue
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return descriptor
        os.close(descriptor)
    raise FileNotFoundError(errno.ENOENT, f"there is no folder {path.parent.parent}")


def _make_folder(folder: Path) -> None:
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    status = folder.lstat()
    others_may = stat.S_IMODE(status.st_mode) & 0o077
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or others_may:
        raise CannotTraceError(
            f"{folder} is not a folder that only we can write to", f"Remove {folder}, and trace again"
        )


@contextmanager
def _lock_unowned(path: Path, *, wait: bool) -> Iterator[bool]:
    """Hold the journal's lock, and say whether we got it: not if its owner lives, or if it is gone."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        yield False
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield os.fstat(descriptor).st_nlink > 0
    finally:
        os.close(descriptor)


def _find(netns: Netns) -> Netns | None:
    """Return the namespace with a path that still leads to it: its own, a mount, or a process in it."""
    for path in (netns.path, *_mounts(netns.inum), *map(str, Path("/proc").glob("[0-9]*/ns/net"))):
        with suppress(OSError):
            if Path(path).stat().st_ino == netns.inum:
                return replace(netns, path=path)
    return None


def _mounts(inum: int) -> Iterator[str]:
    """Yield where the namespace is mounted (`ip netns`, CNI); fields 4 and 5 of proc_pid_mountinfo(5)."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        root, mount_point = line.split()[3:5]
        if root == f"net:[{inum}]":
            yield mount_point.encode().decode("unicode_escape")
