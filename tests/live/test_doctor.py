"""`tracer doctor` on this machine, as it is and with something taken away; `tracer cleanup` after a killed run."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from anonymous_netns import anonymous, run
from tracer_command import NOT_ROOT, environment, tracer

from tracer import sysctl
from tracer.netfilter.evidence.legacy_trace import open_legacy_trace
from tracer.netfilter.evidence.mark import mark_flow
from tracer.netfilter.evidence.signature import ProbeMark
from tracer.netns import run_in

NF_LOG = "net.netfilter.nf_log.2"


def mounted(script):
    """Return what runs a command in a mount namespace of its own, after the shell's `script`."""
    return ("unshare", "--mount", "sh", "-c", f'{script} && exec "$@"', "sh")


OWN_RUN_FOLDER = mounted("mount -t tmpfs none /run")
READ_ONLY_PROC = mounted("mount -o bind,ro /proc/sys /proc/sys")


@pytest.fixture
def netns():
    with anonymous("alone") as netns:
        yield netns


@pytest.fixture
def with_legacy_table(netns):
    run(netns, "iptables-legacy", "-t", "mangle", "-S")  # asking makes it
    return netns


def diagnose(netns=None, **options):
    """Return the exit status, the document and its checks by name."""

    def doctor():
        return tracer("doctor", "--json", "-", **options)

    done = run_in(netns, doctor) if netns else doctor()
    assert "Traceback" not in done.stderr
    document = json.loads(done.stdout)
    assert done.stderr.startswith(f"{os.uname().nodename} (tracer ")
    return done.returncode, document, {check["name"]: check for check in document["checks"]}


def test_this_machine_can_trace():
    """Or none of the other live tests could pass."""
    status, document, checks = diagnose()
    assert (status, document["can_trace"], document["netfilter"], document["veth"]) == (0, True, "link", "tcx")
    assert [name for name, check in checks.items() if check["needed"] and check["state"] != "ok"] == []
    assert document["schema"] == "tracer/doctor/1"
    assert os.uname().release in checks["kernel"]["found"]
    assert "nft_do_chain" in checks["hooks"]["found"]


def test_people_read_it_on_stdout():
    done = tracer("doctor")
    assert (done.returncode, done.stderr) == (0, "")
    assert " can trace: netfilter is watched by link, devices by tcx." in done.stdout


def test_nothing_is_changed_in_the_namespace(netns):
    def state():
        names = [path.name for path in Path("/proc/sys/net/netfilter/nf_log").iterdir()]
        return (
            run(netns, "ip", "link"),
            run(netns, "nft", "list", "ruleset"),
            run(netns, "cat", *(f"/proc/net/{family}_tables_names" for family in ("ip", "ip6"))),
            run(netns, "cat", *(f"/proc/sys/net/netfilter/nf_log/{name}" for name in names)),
        )

    before = state()
    diagnose(netns)
    assert state() == before


def test_not_root():
    status, document, checks = diagnose(code=NOT_ROOT)
    assert (status, document["can_trace"]) == (3, False)
    assert (checks["root"]["state"], checks["root"]["way_out"]) == ("lacking", "Run it with sudo")
    assert checks["BPF programs"]["found"] == "not tried without root"


def test_no_btf():
    status, _, checks = diagnose(under=mounted("mount -t tmpfs none /sys/kernel/btf"))
    assert status == 3
    assert "/sys/kernel/btf/vmlinux cannot be read" in checks["BTF"]["found"]
    assert [name for name, check in checks.items() if check["found"] == "not tried without BTF"] == ["BPF programs"]
    assert {checks[name]["state"] for name in ("kfree_skb", "link", "tcx", "hooks")} == {"unknown"}


def test_bpf_is_refused():
    status, document, checks = diagnose(under=("unshare", "--user", "--map-root-user", "--net"))
    assert (status, document["netfilter"], document["veth"]) == (3, None, None)
    assert checks["BPF programs"]["found"].startswith("the kernel refuses the BPF map ")


@pytest.mark.parametrize("module", ["bcc", "scapy", "pyroute2"])
def test_module_is_missing(tmp_path, module):
    (tmp_path / f"{module}.py").write_text("raise ImportError('it is not here')\n")
    status, _, checks = diagnose(PYTHONPATH=str(tmp_path))
    assert (status, checks[module]["state"]) == (3, "lacking")
    assert "it is not here" in checks[module]["found"]


def test_programs_are_missing(with_legacy_table):
    """Nor is there the program that would show the legacy rules: a trace needs none of them."""
    status, _, checks = diagnose(with_legacy_table, under=mounted("mount -t tmpfs none /usr/sbin"))
    assert status == 0
    for name in ("nft", "iptables-nft-save", "ip6tables-nft-save", "ipset", "iptables-legacy-restore"):
        assert (checks[name]["state"], checks[name]["needed"]) == ("lacking", False)
        assert checks[name]["way_out"].startswith("Install the package")
    assert checks["iptables-legacy"]["state"] == "ok"
    assert "not there, and not needed" in checks["iptables-legacy"]["found"]
    assert "nothing else on this node shows" in checks["iptables-legacy"]["found"]


def test_legacy_tables_are_told_and_none_is_made(with_legacy_table):
    _, _, checks = diagnose(with_legacy_table)
    assert checks["legacy tables"]["found"] == "in this network namespace, IPv4: mangle"
    assert checks["NFLOG"]["needed"]
    assert checks["nf_log"]["needed"]


def test_settings_are_read_only(netns):
    """Which matters only where legacy tables are to be traced."""
    status, _, checks = diagnose(netns, under=READ_ONLY_PROC)
    assert (status, checks["nf_log"]["state"], checks["nf_log"]["needed"]) == (0, "lacking", False)
    run(netns, "iptables-legacy", "-S")
    status, _, checks = diagnose(netns, under=READ_ONLY_PROC)
    assert (status, checks["nf_log"]["state"], checks["nf_log"]["needed"]) == (3, "lacking", True)
    assert "Read-only file system" in checks["nf_log"]["found"]


def test_nothing_can_be_written_down(with_legacy_table):
    status, _, checks = diagnose(with_legacy_table, under=mounted("mount -t tmpfs -o ro none /run"))
    assert (status, checks["journal"]["state"]) == (3, "lacking")
    assert "Read-only file system" in checks["journal"]["found"]


def test_group_is_held(with_legacy_table):
    probe = ProbeMark("icmp", 4, os.urandom(16))
    with mark_flow(with_legacy_table, probe) as mark, open_legacy_trace(with_legacy_table, mark):
        status, _, checks = diagnose(with_legacy_table)
    assert (status, checks["NFLOG"]["state"]) == (3, "lacking")
    assert f"(pid {os.getpid()}) holds NFLOG group 0" in checks["NFLOG"]["found"]


LEAVE = f"""
import os, sys
from tracer import sysctl
from tracer.journal import RUN_FOLDER, Setting, write_journal
from tracer.netns import open_netns, run_in
netns = open_netns("netns:left", sys.argv[1])
write_journal(RUN_FOLDER / "1-dead.json", [Setting(netns, "{NF_LOG}", "NONE", "nfnetlink_log")])
run_in(netns, lambda: sysctl.write("{NF_LOG}", "nfnetlink_log"))
os._exit(0)
"""


@contextlib.contextmanager
def killed_run(netns):
    """Leave a journal and a setting as a run that was killed with its watchdog; yield what runs commands beside it."""
    run_in(netns, lambda: sysctl.write(NF_LOG, "NONE"))
    with subprocess.Popen(
        [
            *OWN_RUN_FOLDER,
            "sh",
            "-c",
            '"$@" && echo left && exec cat',
            "sh",
            sys.executable,
            "-c",
            LEAVE,
            netns_path(netns),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as process:
        assert process.stdout.readline() == "left\n"
        assert setting(netns) == "nfnetlink_log"
        yield ("nsenter", f"--mount=/proc/{process.pid}/ns/mnt", f"--wd={Path.cwd()}")
        process.stdin.close()


def netns_path(netns):
    return f"/proc/{os.getpid()}/fd/{Path(netns.path).name}"


def setting(netns):
    return run_in(netns, lambda: sysctl.read(NF_LOG))


def test_what_a_killed_run_left_is_told_and_undone(netns):
    with killed_run(netns) as beside:
        status, _, checks = diagnose(under=beside)
        assert (status, checks["killed runs"]["state"]) == (0, "lacking")
        assert checks["killed runs"]["found"] == f"a killed run has left changed: {NF_LOG} of netns:left"
        assert "tracer cleanup" in checks["killed runs"]["way_out"]
        assert setting(netns) == "nfnetlink_log"

        done = tracer("cleanup", under=beside)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == f"{NF_LOG} in the network namespace of netns:left is NONE again.\n"
        assert setting(netns) == "NONE"

        done = tracer("cleanup", under=beside)
        assert (done.returncode, done.stdout) == (0, "Nothing was left to clean up.\n")
        assert diagnose(under=beside)[2]["killed runs"]["state"] == "ok"


def test_what_cannot_be_undone_is_told(netns):
    with killed_run(netns) as beside:
        done = tracer("cleanup", under=(*beside, *READ_ONLY_PROC))
        assert (done.returncode, done.stderr) == (3, "")
        assert "should be NONE again, and is not: " in done.stdout
        assert tracer("cleanup", under=beside).returncode == 0
        assert setting(netns) == "NONE"


def test_cleanup_goes_by_no_journal_that_it_cannot_read():
    folder = mounted("mount -t tmpfs none /run && mkdir --mode=700 /run/tracer && echo '{' >/run/tracer/1-dead.json")
    done = tracer("cleanup", under=folder)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("tracer: /run/tracer/1-dead.json should hold what a run of tracer has set")
