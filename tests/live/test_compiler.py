"""What BCC, clang and the verifier refuse is one sentence; what they write themselves reaches nobody."""

from __future__ import annotations

import os

import pytest

from tracer import resources
from tracer.capture.compiler import compile_programs, load_program
from tracer.errors import CannotTraceError

GOOD = "int good(struct bpf_raw_tracepoint_args *ctx) { return 0; }\n"
REFUSED = "int refused(struct bpf_raw_tracepoint_args *ctx) { return *(int *)ctx->args[0]; }\n"


@pytest.fixture
def sources(tmp_path, monkeypatch):
    """Return a folder of the test's own for C files; the stand-in for kernel headers is ours."""
    (tmp_path / "kernel").symlink_to(resources.folder("bpf") / "kernel")
    monkeypatch.setattr(resources, "folder", lambda name: tmp_path)
    return tmp_path


def refusal(capfd, function, *arguments):
    with pytest.raises(CannotTraceError) as raised:
        function(*arguments)
    assert capfd.readouterr() == ("", "")
    assert raised.value.way_out
    return raised.value.cause


def test_program_that_the_verifier_refuses(sources, capfd):
    (sources / "programs.c").write_text(GOOD + REFUSED)
    module = compile_programs("programs.c")
    cause = refusal(capfd, load_program, module, "refused", module.RAW_TRACEPOINT)
    assert cause.startswith("the kernel refuses the BPF program refused (R")
    assert "invalid mem access" in cause
    assert "processed" not in cause
    os.fstat(load_program(module, "good", module.RAW_TRACEPOINT))


def test_type_that_the_kernel_does_not_know(sources, capfd):
    (sources / "programs.c").write_text(GOOD)
    cause = refusal(capfd, load_program, compile_programs("programs.c"), "good", 250)
    assert cause.startswith("the kernel refuses the BPF program good (")
    assert "Invalid argument" in cause


def test_program_that_does_not_compile(sources, capfd):
    (sources / "programs.c").write_text(GOOD + "int bad(void *ctx) { return no_such_name; }\n")
    cause = refusal(capfd, compile_programs, "programs.c")
    assert cause.startswith("BCC cannot compile the BPF programs (")
    assert "error: use of undeclared identifier 'no_such_name'" in cause


def test_map_that_the_kernel_refuses(sources, capfd):
    (sources / "programs.c").write_text('BPF_TABLE("array", int, u64, huge, 4294967295);\n' + GOOD)
    cause = refusal(capfd, compile_programs, "programs.c")
    assert cause.startswith("the kernel refuses the BPF map huge (")
