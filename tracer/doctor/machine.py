"""Trials of what the machine and its kernel are."""

from __future__ import annotations

import os

from tracer.capture import btf
from tracer.capture.bpf_syscall import syscall_number
from tracer.capture.compiler import OFFSETS
from tracer.doctor.bench import Bench
from tracer.privileges import require_privileges


def root(_bench: Bench) -> str:
    """Ask for root and its capabilities."""
    require_privileges()
    return "root, with the capabilities that a trace needs"


def kernel(_bench: Bench) -> str:
    """Ask for an architecture that we know."""
    syscall_number()
    system = os.uname()
    return f"{system.release} on {system.machine}"


def kernel_types(_bench: Bench) -> str:
    """Look up every member of the kernel's structures that the BPF programs read."""
    for structure, member in OFFSETS.values():
        btf.offset(structure, member)
    reasons = len(btf.enumerators("skb_drop_reason"))
    return f"describes all {len(OFFSETS)} members that are read, and {reasons or 'no'} reasons for drops"
