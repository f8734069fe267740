"""What BPF programs are attached to a namespace's devices and hooks: asked of the kernel, not of tracer."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct

from tracer.capture.bpf_syscall import ATTACH_TCX_EGRESS, ATTACH_TCX_INGRESS
from tracer.netns import Netns, run_in

_SYSCALL_NUMBER = {"x86_64": 321, "aarch64": 280}
_PROG_QUERY = 16  # enum bpf_cmd, include/uapi/linux/bpf.h
_libc = ctypes.CDLL(None, use_errno=True)


def device_programs(netns: Netns) -> list[str]:
    """Return a device's name for each program that is attached to it by TCX."""

    def look() -> list[str]:
        return [
            name
            for index, name in socket.if_nameindex()
            for attach_type in (ATTACH_TCX_INGRESS, ATTACH_TCX_EGRESS)
            for _ in range(_count(index, attach_type))
        ]

    return run_in(netns, look)


def _count(index: int, attach_type: int) -> int:
    """Return how many programs a device has: `count`, the 7th word of the kernel's answer (query in union bpf_attr)."""
    attributes = ctypes.create_string_buffer(struct.pack("=IIIIQI", index, attach_type, 0, 0, 0, 0), 128)
    if _libc.syscall(_SYSCALL_NUMBER[os.uname().machine], _PROG_QUERY, attributes, len(attributes)) < 0:
        code = ctypes.get_errno()
        if code == errno.ENODEV:  # it went after it was listed
            return 0
        raise OSError(code, os.strerror(code))
    return int(struct.unpack_from("=I", attributes.raw, 24)[0])
