"""The program of the process that makes probes (tracer.probe.builder): `python -m tracer.probe.serve`."""

from __future__ import annotations

import sys
from types import ModuleType

import msgspec

from tracer.probe.model import Probe

# What scapy loads for protocols that are not ours, and for people: it takes longer than all that a probe needs.
_UNUSED_MODULES = ("cryptography",)
_UNUSED_TABLES: dict[str, object] = {"scapy.libs.manuf": "", "scapy.libs.bluetoothids": {}}


def main() -> None:
    """Answer each probe on standard input, a line of JSON, with a line of its packet in hexadecimal, until the end."""
    for name in _UNUSED_MODULES:
        sys.modules[name] = None  # type: ignore[assignment]
    for name, data in _UNUSED_TABLES.items():
        sys.modules[name] = ModuleType(name)
        sys.modules[name].__dict__["DATA"] = data
    from tracer.probe.build import build_packet

    for line in sys.stdin.buffer:
        sys.stdout.write(build_packet(msgspec.json.decode(line, type=Probe)).hex() + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
