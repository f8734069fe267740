"""Compile the BPF programs with BCC, without kernel headers.

BCC asks for a folder of kernel headers and needs next to nothing of it: `bpf/kernel` stands in for them. What the
programs know of the kernel comes from its BTF, as `-DOFF_…`.
"""

from __future__ import annotations

import ctypes
import os
import re
from typing import Any

from tracer import resources
from tracer.capture import btf
from tracer.errors import CannotTraceError

_OFFSETS = {
    "OFF_SKB_HEAD": ("sk_buff", "head"),
    "OFF_SKB_NETWORK_HEADER": ("sk_buff", "network_header"),
    "OFF_SKB_MARK": ("sk_buff", "mark"),
    "OFF_SKB_DEV": ("sk_buff", "dev"),
    "OFF_DEVICE_IFINDEX": ("net_device", "ifindex"),
    "OFF_DEVICE_NET": ("net_device", "nd_net"),
    "OFF_NET_INUM": ("net", "ns.inum"),
    "OFF_STATE_HOOK": ("nf_hook_state", "hook"),
    "OFF_STATE_NET": ("nf_hook_state", "net"),
    "OFF_STATE_IN": ("nf_hook_state", "in"),
    "OFF_STATE_OUT": ("nf_hook_state", "out"),
    "OFF_TASK_NSPROXY": ("task_struct", "nsproxy"),
    "OFF_NSPROXY_NET": ("nsproxy", "net_ns"),
    "OFF_HOOKS_IPV4": ("net", "nf.hooks_ipv4"),
    "OFF_HOOKS_IPV6": ("net", "nf.hooks_ipv6"),
    "OFF_ENTRIES_HOOKS": ("nf_hook_entries", "hooks"),
    "OFF_OPS_PRIORITY": ("nf_hook_ops", "priority"),
    "OFF_XT_TABLE_NAME": ("xt_table", "name"),
    "OFF_CHAIN_NAME": ("nft_chain", "name"),
    "OFF_CHAIN_TABLE": ("nft_chain", "table"),
    "OFF_TABLE_NAME": ("nft_table", "name"),
    "OFF_TABLE_FAMILY": ("nft_table", "family"),
}
_CLONE_FS = 0x200  # include/uapi/linux/sched.h
_OWN_INCLUDE = re.compile(r'^#include "(\w+\.h)"\n', re.MULTILINE)


def source_text(*names: str) -> str:
    """Return the named files of `bpf/` as one text, with each of our headers put in once.

    BCC rewrites map accesses only in the text that it is given, not in what that includes.
    """
    folder = resources.folder("bpf")
    done: set[str] = set()

    def expand(name: str) -> str:
        if name in done:
            return ""
        done.add(name)
        text = (folder / name).read_text()
        return _OWN_INCLUDE.sub(lambda match: expand(match.group(1)), text)

    return "".join(expand(name) for name in names)


def compile_programs(*names: str) -> Any:  # noqa: ANN401  (bcc has no types)
    """Compile the named files of `bpf/` into one BCC module; raise CannotTraceError when that is impossible."""
    os.environ["BCC_KERNEL_SOURCE"] = str(resources.folder("bpf") / "kernel")
    try:
        from bcc import BPF
    except ImportError as error:
        raise CannotTraceError(
            "the Python module bcc is missing",
            "Install python3-bpfcc and run tracer with the interpreter it belongs to",
        ) from error
    # BCC changes the working folder while it compiles; unshared, that of the other threads stays what it is.
    ctypes.CDLL(None).unshare(_CLONE_FS)
    flags = ["-Wno-everything", *(f"-D{name}={btf.offset(*place)}" for name, place in _OFFSETS.items())]
    try:
        return BPF(text=source_text(*names).encode(), cflags=flags, allow_rlimit=False)
    except Exception as error:
        raise CannotTraceError(f"BCC cannot compile the BPF programs ({error})", "See `tracer doctor`") from error


def load_program(module: Any, name: str, program_type: int, attach_type: int = -1) -> int:  # noqa: ANN401
    """Load one program of a compiled module; return its descriptor, or raise CannotTraceError with the cause."""
    try:
        return int(module.load_func(name.encode(), program_type, attach_type=attach_type).fd)
    except Exception as error:
        raise CannotTraceError(
            f"the kernel refuses the BPF program {name} ({error})",
            "See `tracer doctor` for what this kernel allows",
        ) from error
