"""The journal of changes, as far as it can be followed without root: no setting is written here."""

import fcntl
import os
import stat

import pytest

from tracer import journal, sysctl
from tracer.changes import Changes, change_of, recover, sentence
from tracer.document import Change
from tracer.errors import CannotTraceError
from tracer.journal import Setting, Undone, read_journal, undo_dead, undo_journal, write_journal
from tracer.netns import Netns

GONE = Netns("netns:gone", "/run/netns/no such namespace", 1)
SETTING = Setting(GONE, "net.netfilter.nf_log.2", "NONE", "nfnetlink_log")


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "run"


def write_unowned(path, settings=(SETTING,)):
    """Leave a journal as a killed run does: nobody holds its lock."""
    os.close(write_journal(path, settings))


def test_journal_is_read_as_it_was_written(folder):
    write_unowned(folder / "1.json", [SETTING, SETTING])
    assert read_journal(folder / "1.json").settings == (SETTING, SETTING)
    assert read_journal(folder / "1.json").pid == os.getpid()


def test_only_root_can_read_the_folder(folder):
    write_unowned(folder / "1.json")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "1.json").stat().st_mode) == 0o600


def test_a_folder_that_others_can_write_to_is_refused(folder):
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(CannotTraceError, match="only we can write to"):
        write_journal(folder / "1.json", [SETTING])


def test_a_link_in_place_of_the_folder_is_refused(folder, tmp_path):
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CannotTraceError, match="only we can write to"):
        write_journal(folder / "1.json", [SETTING])


def test_a_new_version_replaces_the_journal_and_stays_locked(folder):
    path = folder / "1.json"
    first = write_journal(path, [SETTING])
    second = write_journal(path, [SETTING, SETTING])
    os.close(first)
    assert undo_journal(path) == []
    assert len(read_journal(path).settings) == 2
    os.close(second)
    assert len(undo_journal(path)) == 2


def test_a_journal_whose_owner_lives_is_left_alone(folder):
    lock = write_journal(folder / "1.json", [SETTING])
    assert undo_dead(folder) == []
    assert (folder / "1.json").exists()
    os.close(lock)


def test_recover_removes_what_belonged_to_a_namespace_that_is_gone(folder):
    write_unowned(folder / "1.json")
    assert recover(folder) == [Change("netns:gone", "net.netfilter.nf_log.2", "NONE", "nfnetlink_log", restored=True)]
    assert not folder.exists()


def test_recover_removes_a_half_written_journal(folder):
    write_unowned(folder / "1.json")
    (folder / "1.json").rename(folder / "2.json.new")
    (folder / "2.json.new").write_text('{"pid": 1, "bo')
    assert recover(folder) == []
    assert not folder.exists()


def test_recover_has_nothing_to_do_without_a_folder(folder):
    assert recover(folder) == []
    assert not folder.exists()


def test_a_journal_from_before_a_reboot_is_dropped_unread(folder, monkeypatch):
    monkeypatch.setattr(journal, "_boot_id", lambda: "an earlier boot")
    write_unowned(folder / "1.json")
    monkeypatch.undo()
    assert recover(folder) == []
    assert not folder.exists()


@pytest.mark.parametrize("content", ["", "[]", '{"pid": 1, "boot": "x", "settings": [{}]}'])
def test_what_is_no_journal_is_named_and_kept(folder, content):
    folder.mkdir(mode=0o700)
    (folder / "1.json").write_text(content)
    with pytest.raises(CannotTraceError, match=r"1\.json .* cannot be read"):
        recover(folder)
    assert (folder / "1.json").exists()


def test_files_of_others_are_not_touched(folder):
    folder.mkdir(mode=0o700)
    (folder / "notes.txt").write_text("keep")
    assert recover(folder) == []
    assert (folder / "notes.txt").read_text() == "keep"


def test_a_lock_is_retried_when_the_file_was_tidied_away_before_it(folder, monkeypatch):
    path, flock, tidied = folder / "1.json", fcntl.flock, []

    def tidy_first(descriptor, operation):
        if not tidied:
            tidied.append(True)
            (folder / "1.json.new").unlink()
            folder.rmdir()
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", tidy_first)
    write_unowned(path)
    assert tidied
    assert read_journal(path).settings == (SETTING,)


def test_changes_that_set_nothing_leave_nothing(folder):
    with Changes(folder) as changes:
        pass
    assert changes.listing() == ()
    assert changes.notes == []
    assert not folder.exists()


@pytest.mark.parametrize(
    "outcome, restored, said",
    [
        ("restored", True, "is NONE again"),
        ("namespace gone", True, "gone with the namespace"),
        ("taken over", False, "somebody else has changed it since"),
        ("refused", False, "Read-only file system"),
    ],
)
def test_every_outcome_has_its_words(outcome, restored, said):
    undone = Undone(SETTING, outcome, "Read-only file system")
    assert change_of(undone).restored is restored
    assert said in sentence(undone)
    assert "netns:gone" in sentence(undone)


@pytest.mark.parametrize("name", ["kernel.core_pattern", "net", "net..x", "net.../x", "net.ipv4/../../kernel", ""])
def test_only_settings_of_a_network_namespace_have_a_path(name):
    with pytest.raises(ValueError, match="network namespace"):
        sysctl.path_of(name)


def test_the_path_of_a_setting():
    assert str(sysctl.path_of("net.netfilter.nf_log.2")) == "/proc/sys/net/netfilter/nf_log/2"
