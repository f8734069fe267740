"""A process that makes probes: scapy loads there while this one compiles and looks around.

Loaded here, it would hold the interpreter's lock for as long as BPF takes to compile. It ends with its standard input,
so it does not outlive us, however we end.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from tracer.errors import CannotTraceError

if TYPE_CHECKING:
    from tracer.probe.model import Probe

_PACKAGES = Path(__file__).parents[2]
_END_S = 5.0


@dataclasses.dataclass(frozen=True)
class Builder:
    """The pipes to the running process and from it."""

    requests: IO[bytes]
    packets: IO[bytes]
    errors: IO[bytes]

    def complete(self, probe: Probe) -> Probe:
        """Return `probe` with its packet; raise CannotTraceError when scapy cannot be loaded."""
        import msgspec  # here, so that the process can start before

        try:
            self.requests.write(msgspec.json.encode(probe) + b"\n")
            packet = self.packets.readline()
        except BrokenPipeError:
            packet = b""
        if not packet:
            said = self.errors.read().decode("utf-8", "replace").splitlines()
            why = said[-1] if said else "it said nothing"
            raise CannotTraceError(
                f"the process that makes probes with scapy has ended ({why})",
                "Install tracer together with what it needs: see README.md",
            )
        return dataclasses.replace(probe, packet=bytes.fromhex(packet.decode()))


@contextmanager
def start_builder() -> Iterator[Builder]:
    """Start the process; it ends with the context."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tracer.probe.serve"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=_environment(),
        bufsize=0,
        start_new_session=True,  # Ctrl-C is for us; this ends by its pipe
    )
    if process.stdin is None or process.stdout is None or process.stderr is None:
        raise AssertionError("all are pipes")
    try:
        yield Builder(process.stdin, process.stdout, process.stderr)
    finally:
        try:
            process.communicate(timeout=_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _environment() -> dict[str, str]:
    """Return an environment in which scapy writes no cache into a home folder (scapy/main.py)."""
    packages = os.pathsep.join(filter(None, (str(_PACKAGES), os.environ.get("PYTHONPATH"))))
    return os.environ | {"XDG_CACHE_HOME": os.devnull, "PYTHONPATH": packages}
