"""`tracer trace` and its like on this machine's kernel: exit status, what is said where, and nothing left behind."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
import trace_lab
from tracer_command import command, complaint, environment, tracer

from tracer import sysctl
from tracer.endpoints.model import NetnsEndpoint
from tracer.endpoints.parse import parse_endpoint
from tracer.errors import TracerError
from tracer.netfilter.evidence.legacy_trace import open_legacy_trace
from tracer.netfilter.evidence.mark import mark_flow
from tracer.netfilter.evidence.signature import ProbeMark
from tracer.netns import run_in
from tracer.tracing import TraceRequest, trace_flow

NF_LOG = trace_lab.LOGGERS[4]
SILENT_PORT = 6000
READ_ONLY_PROC = ("unshare", "--mount", "sh", "-c", 'mount -o bind,ro /proc/sys /proc/sys && exec "$@"', "sh")
READ_ONLY_RUN = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o ro none /run && exec "$@"', "sh")
NO_BTF = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /sys/kernel/btf && exec "$@"', "sh")
NO_CAPABILITY = ("setpriv", "--bounding-set", "-sys_admin", "--inh-caps", "-sys_admin")
USER_NAMESPACE = ("unshare", "--user", "--map-root-user")


def end(netns):
    """Return a lab's namespace as another process names it."""
    return f"netns:/proc/{os.getpid()}/fd/{Path(netns.path).name}"


@pytest.fixture
def trace_command(traced_lab):
    """Return the command that traces from the lab's client."""

    def arguments(destination, *options):
        return ["trace", end(traced_lab.client), destination, "--node", end(traced_lab.node), *options]

    return arguments


@pytest.fixture
def dropping(traced_lab):
    """Drop pings to the node by a legacy rule."""
    trace_lab.load(traced_lab.node, "iptables-legacy", "-A INPUT -p icmp -j DROP")


def logger(netns):
    return run_in(netns, functools.partial(sysctl.read, NF_LOG))


def test_delivered(trace_command):
    done = tracer(*trace_command("10.1.0.1"))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Delivered: ")


def test_lost(trace_command, dropping):
    done = tracer(*trace_command("10.1.0.1"))
    assert (done.returncode, done.stderr) == (1, "")
    assert "-A INPUT -p icmp -j DROP" in done.stdout


def test_document_alone_goes_to_stdout(trace_command, dropping):
    done = tracer(*trace_command("10.1.0.1", "--json", "-"))
    document = json.loads(done.stdout)
    assert (done.returncode, document["schema"], document["verdict"]["outcome"]) == (
        1,
        "tracer/trace/1",
        "request_lost",
    )
    assert done.stderr.startswith("Request lost: ")
    (change,) = document["capture"]["changes"]
    assert (change["what"], change["restored"]) == (NF_LOG, True)


class TestEndpoints:
    def test_no_such_namespace(self):
        said = complaint(tracer("trace", "netns:no-such-name", "10.0.0.1"), 2)
        assert said.startswith("netns:no-such-name: no network namespace at /run/netns/no-such-name")

    def test_no_namespace_at_all(self):
        assert "/dev/null is not a network namespace" in complaint(tracer("trace", "netns:/dev/null", "10.0.0.1"), 2)

    def test_no_such_process(self):
        pid = int(Path("/proc/sys/kernel/pid_max").read_text())  # pids are below it
        assert complaint(tracer("trace", f"pid:{pid}", "10.0.0.1"), 2).startswith(f"there is no process {pid}.")

    def test_process_without_a_namespace_of_its_own(self, traced_lab):
        with run_in(traced_lab.node, lambda: subprocess.Popen(["cat"], stdin=subprocess.PIPE)) as process:
            arguments = ["trace", f"pid:{process.pid}", "10.1.0.2", "--node", end(traced_lab.node)]
            said = complaint(tracer(*arguments), 2)
            process.stdin.close()
        assert said.startswith(f"process {process.pid} has no network namespace of its own")
        assert "Say `node`" in said

    def test_source_is_the_destination(self, trace_command, traced_lab):
        for destination in (end(traced_lab.client), "10.1.0.2"):
            said = complaint(tracer(*trace_command(destination)), 2)
            assert said.startswith("source and destination are in one network namespace: ")

    def test_no_route(self, trace_command, traced_lab):
        trace_lab.ip(traced_lab.client, "route del default")
        said = complaint(tracer(*trace_command("10.2.0.2")), 2)
        assert said.startswith(f"there is no route from {end(traced_lab.client)} to 10.2.0.2 (Network is unreachable)")

    def test_no_address_of_the_family(self, trace_command, traced_lab):
        trace_lab.set_sysctl(traced_lab.client, "net/ipv6/conf/eth0/disable_ipv6", 1)
        said = complaint(tracer(*trace_command(end(traced_lab.server), "-6")), 2)
        assert said.startswith(f"{end(traced_lab.client)} has no IPv6 address")


class TestMachine:
    """What the machine does not allow is told in one sentence: exit status 3."""

    def test_capability_is_lacking(self, trace_command):
        said = complaint(tracer(*trace_command("10.1.0.1"), under=NO_CAPABILITY), 3)
        assert said.startswith("root lacks CAP_SYS_ADMIN here.")

    def test_bpf_is_refused(self):
        """In a user namespace, root may do everything but BPF (CAP_BPF is asked of the first one)."""
        said = complaint(tracer("replay", "healthy", under=(*USER_NAMESPACE, "--net")), 3)
        assert said.startswith("the kernel refuses the BPF map ")
        assert "Operation not permitted" in said

    def test_no_btf(self, trace_command):
        said = complaint(tracer(*trace_command("10.1.0.1"), under=NO_BTF), 3)
        assert said.startswith("the kernel offers no BTF (/sys/kernel/btf/vmlinux cannot be read).")

    def test_no_bcc(self, trace_command, tmp_path):
        (tmp_path / "bcc.py").write_text("raise ImportError('it is not here')\n")
        said = complaint(tracer(*trace_command("10.1.0.1"), PYTHONPATH=str(tmp_path)), 3)
        assert said.startswith("the Python module bcc cannot be loaded (it is not here). Install python3-bpfcc")

    def test_no_scapy(self, trace_command, tmp_path):
        (tmp_path / "scapy.py").write_text("raise ImportError('it is not here')\n")
        said = complaint(tracer(*trace_command("10.1.0.1"), PYTHONPATH=str(tmp_path)), 3)
        assert said.startswith("the process that makes probes with scapy has ended (ImportError: it is not here).")

    def test_setting_is_read_only(self, trace_command, traced_lab, dropping):
        said = complaint(tracer(*trace_command("10.1.0.1"), under=READ_ONLY_PROC), 3)
        assert said.startswith(f"cannot set {NF_LOG} to nfnetlink_log in the network namespace of node: Read-only")
        assert "privileged" in said

    def test_nothing_can_be_written_down(self, trace_command, traced_lab, dropping):
        said = complaint(tracer(*trace_command("10.1.0.1"), under=READ_ONLY_RUN), 3)
        assert said.startswith("cannot write /run/tracer/")
        assert "Read-only file system" in said

    def test_group_is_held(self, trace_command, traced_lab, dropping):
        probe = ProbeMark("icmp", 4, os.urandom(16))
        with mark_flow(traced_lab.node, probe) as mark, open_legacy_trace(traced_lab.node, mark):
            said = complaint(tracer(*trace_command("10.1.0.1")), 3)
        assert said.startswith("NFLOG group 0 in the network namespace of node is held by ")
        assert f"(pid {os.getpid()})" in said
        assert "stop it" in said

    def test_other_logger_is_given_back(self, trace_command, traced_lab, dropping):
        run_in(traced_lab.node, lambda: sysctl.write(NF_LOG, "nf_log_ipv4"))
        done = tracer(*trace_command("10.1.0.1"))
        assert (done.returncode, done.stderr, logger(traced_lab.node)) == (1, "", "nf_log_ipv4")
        run_in(traced_lab.node, lambda: sysctl.write(NF_LOG, "NONE"))

    def test_our_logger_is_left_to_whoever_set_it(self, trace_command, traced_lab, dropping):
        run_in(traced_lab.node, lambda: sysctl.write(NF_LOG, "nfnetlink_log"))
        done = tracer(*trace_command("10.1.0.1", "--json", "-"))
        assert (done.returncode, logger(traced_lab.node)) == (1, "nfnetlink_log")
        assert json.loads(done.stdout)["capture"]["changes"] == []
        run_in(traced_lab.node, lambda: sysctl.write(NF_LOG, "NONE"))


class TestDisappearance:
    """A namespace or device that goes away during the trace."""

    @pytest.fixture
    def link(self, traced_lab, tmp_path):
        """Return a path that leads to the client's namespace until it is removed."""
        path = tmp_path / "client"
        path.symlink_to(f"/proc/{os.getpid()}/fd/{Path(traced_lab.client.path).name}")
        return path

    def trace(self, preparation, traced_lab, source, act, moment):
        """Trace from `source` to the node, and `act` when the trace has told of its steps up to `moment`."""
        steps = []

        def tell(step):
            steps.append(step)
            if len(steps) == moment:
                act()

        ends = NetnsEndpoint("netns:client", str(source)), parse_endpoint("10.1.0.1")
        node = NetnsEndpoint("node", traced_lab.node.path)
        request = TraceRequest(*ends, node, "icmp", None, 4, timeout_s=5)
        try:
            trace_flow(request, preparation, tell)
        finally:
            assert len(steps) >= moment

    @pytest.mark.parametrize("moment", [1, 2, 3])
    def test_namespace(self, preparation, traced_lab, dropping, link, moment):
        with contextlib.suppress(TracerError) if moment == 3 else pytest.raises(TracerError, match="netns:client"):
            self.trace(preparation, traced_lab, link, link.unlink, moment)

    @pytest.mark.parametrize("moment", [1, 2, 3])
    def test_device(self, preparation, traced_lab, dropping, moment):
        def remove():
            trace_lab.ip(traced_lab.client, "link del eth0")

        with contextlib.suppress(TracerError) if moment == 3 else pytest.raises(TracerError, match="netns:client"):
            self.trace(preparation, traced_lab, traced_lab.client.path, remove, moment)


class TestInterrupt:
    @pytest.fixture
    def waiting(self, trace_command, traced_lab):
        """Return the command of a trace that waits for an answer that does not come, and has set nf_log meanwhile."""
        trace_lab.load(traced_lab.node, "iptables-legacy", "-A FORWARD -p icmp -j DROP")

        def silent():
            opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            opened.bind(("10.2.0.2", SILENT_PORT))
            return opened

        with run_in(traced_lab.server, silent):
            options = ("--protocol", "udp", "--port", str(SILENT_PORT), "--timeout", "60")
            yield command(*trace_command("10.2.0.2", *options))

    @staticmethod
    def listens(process, _lab):
        """Tell whether SIGTERM, which Python leaves alone, has a handler (SigCgt, proc_pid_status(5))."""
        status = Path(f"/proc/{process.pid}/status").read_text()
        caught = next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("SigCgt:"))
        return bool(caught & 1 << (signal.SIGTERM - 1))

    @staticmethod
    def compiles(process, _lab):
        return "libbcc" in Path(f"/proc/{process.pid}/maps").read_text()

    @staticmethod
    def has_set(process, lab):
        return logger(lab.node) == "nfnetlink_log"

    @pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    @pytest.mark.parametrize("moment", ["listens", "compiles", "has_set"])
    def test_interrupt(self, waiting, traced_lab, moment, sent):
        process = subprocess.Popen(
            waiting,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
            start_new_session=True,
        )
        try:
            deadline = time.monotonic() + 20
            while not getattr(self, moment)(process, traced_lab):
                assert process.poll() is None, process.stderr.read()
                assert time.monotonic() < deadline
                time.sleep(0.002)
            os.killpg(process.pid, sent)
            out, err = process.communicate(timeout=20)
        finally:
            process.kill()
        assert (process.returncode, out) == (130, "")
        assert err.strip() == "tracer: interrupted: everything that was set is undone"
        assert logger(traced_lab.node) == "NONE"
