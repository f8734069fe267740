"""What somebody else's packets pay while a trace waits, and under the usual tools."""

from __future__ import annotations

import ctypes
import re
import select
import signal
import socket
import statistics
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from tests.benchmarks.labs import BenchLab
from tracer.netns import run_in

_PACKETS = 100_000
_WAIT_S = 30
_PROBE = b"probe by tracer"
_BPF_STATS_RUN_TIME = 0  # enum bpf_stats_type
_FDINFO = re.compile(r"^(prog_id|run_time_ns|run_cnt):\t(\d+)$", re.MULTILINE)

Watcher = Callable[[], AbstractContextManager[int | None]]


def print_figures(name: str, lab: BenchLab, rounds: int) -> None:
    """Print the packets a second with nobody watching, and each watcher's share of them, in turn."""
    with _sink(lab) as sink_port, _silent(lab) as silent:
        watchers: dict[str, Watcher] = {
            "tracer trace (waiting)": lambda: _tracer(lab, silent),
            f"tcpdump -i {lab.host_device}": lambda: _tcpdump(lab),
            "nft monitor trace": lambda: _nft_monitor(lab, silent),
        }
        print(f"32-byte UDP packets from a pod to its node, {name}, {_PACKETS} packets x {rounds} rounds")
        alone = [_flood(lab, sink_port)]
        watched: dict[str, list[tuple[float, float]]] = {watcher: [] for watcher in watchers}
        for _ in range(rounds):
            for watcher, start in watchers.items():
                with start():
                    during = _flood(lab, sink_port)
                alone.append(_flood(lab, sink_port))
                without = sum(alone[-2:]) / 2  # just before and just after
                watched[watcher].append((during / without, 1e9 / during - 1e9 / without))
        for watcher, figures in watched.items():
            share, cost = (statistics.median(column) for column in zip(*figures, strict=True))
            print(f"  {watcher:26} {share:6.1%} of untraced   {cost:+5.0f} ns a packet   (medians)")
        print(f"  {'nobody watching':26} {statistics.median(alone):,.0f} packets a second   (median)")
        with _counting(), _tracer(lab, silent) as pid:
            before = _bpf_times(pid)
            _flood(lab, sink_port)
            after = _bpf_times(pid)
        spent = sum(time for time, _ in after.values()) - sum(time for time, _ in before.values())
        runs = sum(count for _, count in after.values()) - sum(count for _, count in before.values())
        print(
            f"  BPF programs, as the kernel counts: {spent / _PACKETS:.0f} ns in {runs / _PACKETS:.1f} runs a packet,"
        )
        print("  which includes the time that counting takes")


def _flood(lab: BenchLab, port: int) -> float:
    arguments = [lab.pod.path, str(lab.pod.inum), lab.node_address, str(port), str(_PACKETS)]
    command = [sys.executable, "-m", "tests.benchmarks.flood", *arguments]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _bound(lab: BenchLab) -> socket.socket:
    def make() -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.bind((lab.node_address, 0))
        return made

    return run_in(lab.node, make)


@contextmanager
def _sink(lab: BenchLab) -> Iterator[int]:
    """Give the port of a socket whose packets are read, as a bystander's are."""
    with _bound(lab) as sink:
        stop = threading.Event()

        def drain() -> None:
            while not stop.is_set():
                if select.select([sink], [], [], 0.1)[0]:
                    sink.recv(64)

        reader = threading.Thread(target=drain)
        reader.start()
        try:
            yield sink.getsockname()[1]
        finally:
            stop.set()
            reader.join()


@contextmanager
def _silent(lab: BenchLab) -> Iterator[socket.socket]:
    """Give a socket that never answers: a trace to it waits."""
    with _bound(lab) as silent:
        yield silent


def _wait_for_probe(silent: socket.socket) -> None:
    silent.settimeout(_WAIT_S)
    while _PROBE not in silent.recv(2048):  # what others sent there before
        pass


@contextmanager
def _tracer(lab: BenchLab, silent: socket.socket) -> Iterator[int]:
    """Have a trace stand and wait for an answer that does not come; give its process number."""
    ends = [f"netns:{lab.pod.path}", lab.node_address, "--node", f"netns:{lab.node.path}"]
    probe = ["--protocol", "udp", "--port", str(silent.getsockname()[1]), "--timeout", "600"]
    with _process([sys.executable, "-m", "tracer", "trace", *ends, *probe]) as process:
        _wait_for_probe(silent)
        yield process.pid


@contextmanager
def _tcpdump(lab: BenchLab) -> Iterator[None]:
    command = ["tcpdump", "-i", lab.host_device, "-w", "/dev/null"]
    with _process(["nsenter", f"--net={lab.node.path}", *command]) as process:
        assert process.stderr is not None
        while b"listening on" not in process.stderr.readline():
            pass
        yield


@contextmanager
def _nft_monitor(lab: BenchLab, silent: socket.socket) -> Iterator[None]:
    """Trace the port of the silent socket alone, as one would look for a single flow."""
    inside = ["nsenter", f"--net={lab.node.path}", "nft"]
    port = silent.getsockname()[1]
    rules = f"""
        add table inet bench
        add chain inet bench pre {{ type filter hook prerouting priority -450; }}
        add rule inet bench pre udp dport {port} meta nftrace set 1
    """
    subprocess.run([*inside, "-f", "-"], input=rules, text=True, check=True)
    try:
        with _process([*inside, "monitor", "trace"]) as process:
            assert process.stdout is not None
            while not select.select([process.stdout], [], [], 0.1)[0]:
                _send_one(lab, port)
            yield
    finally:
        subprocess.run([*inside, "delete", "table", "inet", "bench"], check=True)


def _send_one(lab: BenchLab, port: int) -> None:
    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"x", (lab.node_address, port))

    run_in(lab.pod, send)


@contextmanager
def _process(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate()


def _counting() -> AbstractContextManager[object]:
    """Have the kernel count its programs' run time as long as the descriptor is open."""
    descriptor = ctypes.CDLL("libbpf.so.1").bpf_enable_stats(_BPF_STATS_RUN_TIME)
    return open(descriptor, "rb") if descriptor >= 0 else nullcontext()  # noqa: PTH123


def _bpf_times(pid: int | None) -> dict[int, tuple[int, int]]:
    """Return run time in ns and run count of each BPF program that a process holds, by the program's number."""
    times = {}
    for path in Path(f"/proc/{pid}/fdinfo").iterdir():
        fields = {key: int(value) for key, value in _FDINFO.findall(path.read_text())}
        if len(fields) == 3:
            times[fields["prog_id"]] = fields["run_time_ns"], fields["run_cnt"]
    return times
