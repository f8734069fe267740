"""What C code writes to descriptor 2, and the line in it that says why."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from tracer.capture.stderr import captured_stderr, reason

VERIFIER_LOG = """\
bpf: Failed to load program: Permission denied
0: R1=ctx() R10=fp0
; u32 k = 0; @ main.c:13
1: (63) *(u32 *)(r10 -4) = r1         ; R1=0 R10=fp0 fp-8=0000????
6: (85) call bpf_map_lookup_elem#1    ; R0=map_value_or_null(id=1,map=h,ks=4,vs=8)
7: (79) r0 = *(u64 *)(r0 +0)
R0 invalid mem access 'map_value_or_null'
processed 7 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0

HINT: The 'map_value_or_null' error can happen if you dereference a pointer value from a map lookup.

"""
LOOP_LOG = """\
bpf: Failed to load program: Invalid argument
from 5 to 2: R1=scalar(smin=0) R10=fp0
5: (05) goto pc-4
infinite loop detected at insn 2
cur state: R1=scalar(smin=umin=1,smax=umax=0x100000000) R10=fp0
old state: R1_w=scalar(smin=umin=1,smax=umax=0x100000000) R10=fp0
R2_w=4
verification time 123 usec
stack depth 8
processed 15 insns (limit 1000000) max_states_per_insn 0 total_states 1 peak_states 1 mark_read 0
"""
COMPILER = """\
/virtual/main.c:1:27: error: use of undeclared identifier 'undeclared'
int f(void *ctx) { return undeclared; }
                          ^
/virtual/main.c:2:18: error: expected ';' after expression
2 errors generated.
"""


@pytest.mark.parametrize(
    "text, expected",
    [
        (VERIFIER_LOG, "R0 invalid mem access 'map_value_or_null'"),
        (LOOP_LOG, "infinite loop detected at insn 2"),
        (COMPILER, "/virtual/main.c:1:27: error: use of undeclared identifier 'undeclared'"),
        ("bpf: Failed to load program: Invalid argument\n\n", "bpf: Failed to load program: Invalid argument"),
        (
            "could not open bpf map: probes, error: Operation not permitted\n",
            "could not open bpf map: probes, error: Operation not permitted",
        ),
        ("", ""),
        ("\n \n", ""),
    ],
)
def test_reason(text, expected):
    assert reason(text) == expected


def test_what_is_written_meanwhile_is_kept_from_the_user(capfd):
    with captured_stderr() as said:
        os.write(2, b"from C, and not UTF-8: \xff\n")
        subprocess.run(["sh", "-c", "echo from a child >&2"], check=True)
        assert said() == "from C, and not UTF-8: \ufffd\nfrom a child\n"
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"


def test_descriptor_is_given_back_when_the_context_fails(capfd):
    def fail():
        with captured_stderr():
            raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        fail()
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"


def test_start_and_end_of_very_much_text_are_read():
    with captured_stderr() as said:
        os.write(2, b"first\n")
        for _ in range(300):
            os.write(2, b"x" * 10_000 + b"\n")
        os.write(2, b"last\n")
        text = said()
    assert text.startswith("first\n")
    assert text.endswith("last\n")
    assert len(text) < 2.5e6


def test_two_threads_do_not_swap_descriptors(capfd):
    """Were the redirections to overlap, descriptor 2 would be left with a thread's own file."""
    texts = {}

    def take(number):
        for _ in range(200):
            with captured_stderr() as said:
                os.write(2, f"{number}".encode())
                texts.setdefault(number, set()).add(said())

    threads = [threading.Thread(target=take, args=[number]) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    os.write(2, b"after\n")
    assert texts == {0: {"0"}, 1: {"1"}, 2: {"2"}}
    assert capfd.readouterr().err == "after\n"


def test_no_descriptor_is_left_open():
    code = """if True:
        import os
        from tracer.capture.stderr import captured_stderr
        before = os.listdir("/proc/self/fd")
        for _ in range(3):
            with captured_stderr():
                pass
        assert os.listdir("/proc/self/fd") == before
    """
    subprocess.run([sys.executable, "-c", code], check=True)
