"""Trials of BPF: compile, load and attach what a trace does."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

from tracer.capture.bpf_syscall import (
    ATTACH_TCX_EGRESS,
    ATTACH_TCX_INGRESS,
    link_netfilter,
    link_tcx,
    open_raw_tracepoint,
)
from tracer.capture.compiler import import_bcc
from tracer.capture.priorities import ENTRY
from tracer.doctor.bench import Bench
from tracer.errors import CannotTraceError
from tracer.netfilter.ruleset import HOOKS
from tracer.netns import run_in


def bcc(_bench: Bench) -> str:
    """Import bcc."""
    module = import_bcc()
    return f"{module.__version__} in {Path(module.__file__).parent}"


def programs(bench: Bench) -> str:
    """Compile the BPF programs, which makes their maps too."""
    began = time.monotonic()
    _ = bench.programs
    return f"compiled in {time.monotonic() - began:.2f} s, without kernel headers"


def freed(bench: Bench) -> str:
    """Attach the program that sees where packets are freed; it follows none, so it says nothing."""
    program = bench.programs.raw_tracepoint("freed")
    try:
        os.close(open_raw_tracepoint(program, "kfree_skb"))
    except OSError as error:
        raise CannotTraceError(
            f"the kernel refuses the raw tracepoint kfree_skb: {error.strerror}",
            "Use a kernel with tracepoints for BPF (CONFIG_BPF_EVENTS)",
        ) from error
    return "the raw tracepoint takes our program"


def hook_functions(bench: Bench) -> str:
    """Read the bench's hooks, in which our own table of nf_tables stands."""
    from tracer.capture.hook_functions import read_hooks

    table = bench.mark.table
    try:
        found = [entry.function for entry in read_hooks(bench.programs, [bench.netns]) if entry.table == table]
    except OSError as error:
        raise CannotTraceError(
            f"the kernel does not run a raw-tracepoint program by hand: {error.strerror}", "Use kernel 5.10 or newer"
        ) from error
    if not found:
        raise CannotTraceError(
            "the table that was put into a namespace's hooks was not found there",
            "Report it, with the kernel's version and the output of `tracer doctor --json -`",
        )
    return f"read from the kernel, which names them ({found[0]})"


def netfilter_link(bench: Bench) -> str:
    """Link a program into a hook of the bench."""
    program = bench.programs.netfilter("netfilter_entry")
    hook = HOOKS.index("INPUT")
    try:
        os.close(run_in(bench.netns, lambda: link_netfilter(program, socket.AF_INET, hook, ENTRY)))
    except OSError as error:
        raise CannotTraceError(
            f"the kernel refuses a BPF link in a netfilter hook: {error.strerror}", "Use kernel 6.4 or newer"
        ) from error
    return "the kernel links our program into a hook"


def tcx(bench: Bench) -> str:
    """Link programs to both directions of the bench's veth."""
    index = bench.device
    ingress = bench.programs.tcx("device_ingress", ATTACH_TCX_INGRESS)
    egress = bench.programs.tcx("device_egress", ATTACH_TCX_EGRESS)

    def link() -> None:
        os.close(link_tcx(ingress, index, ATTACH_TCX_INGRESS))
        os.close(link_tcx(egress, index, ATTACH_TCX_EGRESS))

    try:
        run_in(bench.netns, link)
    except OSError as error:
        raise CannotTraceError(
            f"the kernel refuses a BPF link to a device: {error.strerror}", "Use kernel 6.6 or newer"
        ) from error
    return "the kernel links our programs to a veth, in both directions"
