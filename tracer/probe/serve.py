"""The program of the process that makes probes (tracer.probe.builder): `python -m tracer.probe.serve`."""

from __future__ import annotations

import sys

import msgspec

from tracer.probe.model import Probe


def main() -> None:
    """Answer each probe on standard input, a line of JSON, with a line of its packet in hexadecimal, until the end."""
    # scapy would load it for protocols that are not ours, which takes as long as all of ours.
    sys.modules["cryptography"] = None  # type: ignore[assignment]
    from tracer.probe.build import build_packet

    for line in sys.stdin.buffer:
        sys.stdout.write(build_packet(msgspec.json.decode(line, type=Probe)).hex() + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
