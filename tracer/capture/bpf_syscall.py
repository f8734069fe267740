"""The bpf(2) commands that BCC has no call for: links of newer kinds, and running a program by hand.

Every link is a descriptor: it goes when the descriptor closes, also when the process is killed.
"""

from __future__ import annotations

import ctypes
import os
import struct

from tracer.errors import CannotTraceError

_SYSCALL_NUMBER = {"x86_64": 321, "aarch64": 280}
_PROG_TEST_RUN, _RAW_TRACEPOINT_OPEN, _MAP_FREEZE, _LINK_CREATE = (
    10,
    17,
    22,
    28,
)  # enum bpf_cmd in include/uapi/linux/bpf.h
ATTACH_NETFILTER, ATTACH_TCX_INGRESS, ATTACH_TCX_EGRESS = 45, 46, 47  # enum bpf_attach_type
PROGRAM_NETFILTER = 32  # enum bpf_prog_type

_ATTR_BYTES = 128  # more than any command here reads; the kernel wants the rest to be zero
_libc = ctypes.CDLL(None, use_errno=True)


def syscall_number() -> int:
    """Return the number of bpf(2) on this machine; raise CannotTraceError where it is not known."""
    machine = os.uname().machine
    if machine not in _SYSCALL_NUMBER:
        raise CannotTraceError(
            f"tracer does not know the architecture {machine}",
            f"Trace on a machine with one of: {', '.join(_SYSCALL_NUMBER)}",
        )
    return _SYSCALL_NUMBER[machine]


def _bpf(command: int, attributes: bytes) -> int:
    result = _libc.syscall(syscall_number(), command, attributes.ljust(_ATTR_BYTES, b"\0"), _ATTR_BYTES)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return int(result)


def link_netfilter(program: int, family: int, hook: int, priority: int) -> int:
    """Link a program into a netfilter hook of the calling thread's netns; return the link's descriptor.

    `family` is AF_INET or AF_INET6. Raises OSError: EBUSY when a function stands at this priority already, EINVAL
    before 6.4 (net/netfilter/nf_bpf_link.c).
    """
    return _bpf(_LINK_CREATE, struct.pack("=IIIIIIiI", program, 0, ATTACH_NETFILTER, 0, family, hook, priority, 0))


def link_tcx(program: int, ifindex: int, attach_type: int) -> int:
    """Link a program to a device of the calling thread's netns; return the link's descriptor.

    Raises OSError: EINVAL before 6.6, ENODEV when the device is gone (kernel/bpf/tcx.c).
    """
    return _bpf(_LINK_CREATE, struct.pack("=IIII", program, ifindex, attach_type, 0))


def open_raw_tracepoint(program: int, name: str) -> int:
    """Attach a program to a raw tracepoint; return the descriptor that holds it there. Raises OSError."""
    buffer = ctypes.create_string_buffer(name.encode())
    return _bpf(_RAW_TRACEPOINT_OPEN, struct.pack("=QI", ctypes.addressof(buffer), program))


def run_raw_tracepoint_program(program: int, *arguments: int) -> None:
    """Run a raw-tracepoint program once, in the context of the calling thread, attached to nothing.

    `arguments` are its `ctx->args` (net/bpf/test_run.c, bpf_prog_test_run_raw_tp; kernel 5.10). Raises OSError.
    """
    context = struct.pack(f"={len(arguments)}Q", *arguments)
    buffer = ctypes.create_string_buffer(context, len(context))
    attributes = struct.pack(
        "=IIIIQQIIIIQQ", program, 0, 0, 0, 0, 0, 0, 0, len(context), 0, ctypes.addressof(buffer), 0
    )
    _bpf(_PROG_TEST_RUN, attributes)


def freeze_map(descriptor: int) -> None:
    """Let no system call change a map any more; programs may then rely on what is in it. Raises OSError."""
    _bpf(_MAP_FREEZE, struct.pack("=I", descriptor))
