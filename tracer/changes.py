"""Set what a trace needs on the node, and give back what was there, also after kill -9."""

from __future__ import annotations

import errno
import os
import select
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

from tracer import sysctl, watchdog
from tracer.document import Change
from tracer.errors import CannotTraceError
from tracer.journal import (
    RUN_FOLDER,
    SUFFIX,
    Setting,
    Undone,
    journals,
    read_journal,
    remove_folder,
    restore,
    undo_dead,
    write_journal,
)
from tracer.netns import Netns, run_in

_SETTLE_S = 5.0
_WATCHDOG_END_S = 5.0
_PERMISSION = "Run as root, where neither a container nor kernel lockdown forbids it"
_WAYS_OUT = {
    errno.EROFS: "/proc/sys is read-only here: run tracer outside of the container, or in a privileged one",
    errno.EACCES: _PERMISSION,
    errno.EPERM: _PERMISSION,
    errno.ENOENT: "Load the kernel module that provides it (for nf_log: modprobe nfnetlink_log)",
}


def recover(folder: Path = RUN_FOLDER) -> list[Change]:
    """Undo what killed runs have left set, and say what that was; runs that live are left alone."""
    return [change_of(undone) for undone in undo_dead(folder)]


def change_of(undone: Undone) -> Change:
    """Return the entry of the trace document; `restored` is false where our value or a third one is left."""
    setting, outcome = undone.setting, undone.outcome
    restored = outcome in ("restored", "namespace gone")
    return Change(setting.netns.label, setting.name, setting.before, setting.after, restored)


def sentence(undone: Undone) -> str:
    """Say in one sentence what became of a setting."""
    setting = undone.setting
    place = f"{setting.name} in the network namespace of {setting.netns.label}"
    return {
        "restored": f"{place} is {setting.before} again",
        "namespace gone": f"{place} is gone with the namespace",
        "taken over": f"{place} stays as it is: somebody else has changed it since we set {setting.after}",
        "refused": f"{place} should be {setting.before} again, and is not: {undone.reason}",
    }[undone.outcome]


def not_set(netns: Netns, name: str, value: str, error: OSError) -> CannotTraceError:
    """Return the error of a setting that the kernel refuses."""
    return CannotTraceError(
        f"cannot set {name} to {value} in the network namespace of {netns.label}: {error.strerror}",
        _WAYS_OUT.get(error.errno or 0, "Trace where the kernel allows it"),
    )


class Changes:
    """The sysctls that one run has set; leaving the context gives each its old value back.

    Hold `tracer.netns_lock.lock_netns` on every namespace in which something is set, or two runs undo each
    other's settings. `notes` says, in sentences, what was undone for a killed run and what is not restored.
    """

    def __init__(self, folder: Path = RUN_FOLDER) -> None:
        """Do nothing yet: the journal (in `folder`) and the watchdog come with the first change."""
        self.notes: list[str] = []
        self._journal = folder.absolute() / f"{os.getpid()}-{os.urandom(4).hex()}{SUFFIX}"
        self._journal_lock: int | None = None
        self._watchdog: subprocess.Popen[bytes] | None = None
        self._settings: list[Setting] = []
        self._undone: dict[Setting, Undone] = {}

    def __enter__(self) -> Changes:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.restore_all()

    def set_sysctl(self, netns: Netns, name: str, value: str) -> None:
        """Set `name` (`net.netfilter.nf_log.2`) in `netns`; write its old value down first.

        A value that is there already is not ours, and stays when we leave. Raise CannotTraceError when the
        kernel refuses, or when another run has not undone its own setting in this namespace.
        """
        self._settle(netns)
        try:
            before = run_in(netns, lambda: sysctl.read(name))
            if before != value:
                self._set(Setting(netns, name, before, value))
        except OSError as error:
            raise not_set(netns, name, value, error) from error

    def restore_all(self) -> None:
        """Undo every change, the last one first, and end the watchdog; a second call does nothing.

        What the kernel refuses stays in the journal, for the watchdog and the next run, and is told in `notes`.
        """
        for setting in reversed(self._settings):
            if setting not in self._undone:
                self._undone[setting] = restore(setting)
                if self._undone[setting].outcome != "restored":
                    self.notes.append(sentence(self._undone[setting]))
        if all(undone.outcome != "refused" for undone in self._undone.values()):
            self._journal.unlink(missing_ok=True)
        self._hold(None)
        remove_folder(self._journal.parent)
        self._end_watchdog()

    def listing(self) -> tuple[Change, ...]:
        """Return what was set, in order, and whether it is as it was before."""
        return tuple(change_of(self._undone.get(setting, Undone(setting, "refused"))) for setting in self._settings)

    def _set(self, setting: Setting) -> None:
        if self._watchdog is None:
            self._watchdog = _start_watchdog(self._journal)
        self._settings.append(setting)  # before the journal: an interrupt from here on finds it listed
        self._hold(write_journal(self._journal, self._settings))
        try:
            run_in(setting.netns, lambda: sysctl.write(setting.name, setting.after))
        except OSError:
            self._settings.remove(setting)
            self._hold(write_journal(self._journal, self._settings))
            raise

    def _hold(self, lock: int | None) -> None:
        """Keep the lock of the journal as it is now on disk; let go of the one before."""
        if self._journal_lock is not None:
            os.close(self._journal_lock)
        self._journal_lock = lock

    def _settle(self, netns: Netns) -> None:
        """Wait until nothing that a dead run has set in `netns` is left to undo, by us or by its watchdog."""
        deadline = time.monotonic() + _SETTLE_S
        while True:
            for undone in undo_dead(self._journal.parent):
                self._note_once(f"Left by a killed run: {sentence(undone)}")
            pid = self._other_run_in(netns)
            if pid is None:
                return
            if time.monotonic() > deadline:
                raise CannotTraceError(
                    f"process {pid} has set something in the network namespace of {netns.label}, and it is still set",
                    "Wait until it has ended, run `tracer cleanup`, and trace again",
                )
            time.sleep(0.01)

    def _other_run_in(self, netns: Netns) -> int | None:
        for path in journals(self._journal.parent):
            if path == self._journal or path.suffix != SUFFIX:
                continue
            try:
                journal = read_journal(path)
            except FileNotFoundError:
                continue
            if any(setting.netns.inum == netns.inum for setting in journal.settings):
                return journal.pid
        return None

    def _note_once(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)

    def _end_watchdog(self) -> None:
        if self._watchdog is None:
            return
        ended, self._watchdog = _end(self._watchdog), None
        if ended != 0:
            self.notes.append(
                f"The watchdog ended with status {ended}: had this run been killed,"
                " the next one would have had to undo its changes"
            )


def _start_watchdog(journal: Path) -> subprocess.Popen[bytes]:
    """Start the process that undoes our journal if we are killed; it needs no time from us after this."""
    return subprocess.Popen(
        [sys.executable, "-I", "-S", watchdog.__file__, str(journal.parent), journal.name],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,
    )


def _end(process: subprocess.Popen[bytes]) -> int:
    """Close the watchdog's pipe and return its exit status, killing it if it does not end by that."""
    descriptor = os.pidfd_open(process.pid)  # Popen.wait with a timeout polls, and is late by 10 ms
    try:
        if process.stdin:
            process.stdin.close()
        if not select.select([descriptor], [], [], _WATCHDOG_END_S)[0]:
            process.kill()
        return process.wait()
    finally:
        os.close(descriptor)
