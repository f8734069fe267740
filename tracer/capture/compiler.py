"""Compile the BPF programs with BCC, without kernel headers.

BCC asks for a folder of kernel headers and needs next to nothing of it: `bpf/kernel` stands in for them. What the
programs know of the kernel comes from its BTF, as `-DOFF_…`.
"""

from __future__ import annotations

import ctypes
import os
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tracer import resources
from tracer.capture import btf, stderr
from tracer.errors import CannotTraceError

OFFSETS = {
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
_CLONE_FS, _CLONE_NEWNS = 0x200, 0x20000  # include/uapi/linux/sched.h
_MS_BIND, _MS_REC, _MS_PRIVATE = 0x1000, 0x4000, 0x40000  # include/uapi/linux/mount.h
_MAP_REFUSED = re.compile(r"could not open bpf map: (\S+), error: (.+)")
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


def import_bcc() -> Any:  # noqa: ANN401
    """Return the module bcc; raise CannotTraceError where there is none that works."""
    try:
        import bcc

        bcc.BPF  # noqa: B018  (PyPI has another module of this name)
    except (ImportError, OSError, AttributeError) as error:  # OSError: the module is there, and its library is not
        raise CannotTraceError(
            f"the Python module bcc cannot be loaded ({error})",
            "Install python3-bpfcc, and run tracer in an environment of the distribution's own Python that sees it"
            " (python3 -m venv --system-site-packages)",
        ) from error
    return bcc


def compile_programs(*names: str) -> Any:  # noqa: ANN401  (bcc has no types)
    """Compile the named files of `bpf/` into one BCC module; raise CannotTraceError when that is impossible."""
    bpf = import_bcc().BPF
    flags = ["-Wno-everything", *(f"-D{name}={btf.offset(*place)}" for name, place in OFFSETS.items())]
    text = source_text(*names).encode()
    os.environ["BCC_KERNEL_SOURCE"] = str(resources.folder("bpf") / "kernel")
    with stderr.captured_stderr() as said, ThreadPoolExecutor(1, initializer=_stand_apart) as thread:
        try:
            return thread.submit(bpf, text=text, cflags=flags, allow_rlimit=False).result()
        except Exception as error:
            raise _not_made(stderr.reason(said()) or str(error)) from error


def _stand_apart() -> None:
    """Give the calling thread a working folder and mounts of its own.

    BCC changes the working folder while it compiles, which would be everybody's. It also reads all of kallsyms, a third
    of its time, to see which of a few helpers the kernel has (BCC's b_frontend_action.cc): bpf/kernel/kallsyms says it
    shorter. Where the kernel refuses the mount, compiling only takes longer.
    """
    libc = ctypes.CDLL(None)
    if libc.unshare(_CLONE_FS | _CLONE_NEWNS) == 0:
        libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None)
        libc.mount(bytes(resources.folder("bpf") / "kernel" / "kallsyms"), b"/proc/kallsyms", None, _MS_BIND, None)


def load_program(module: Any, name: str, program_type: int, attach_type: int = -1) -> int:  # noqa: ANN401
    """Load one program of a compiled module; return its descriptor, or raise CannotTraceError with the cause."""
    with stderr.captured_stderr() as said:
        try:
            return int(module.load_func(name.encode(), program_type, attach_type=attach_type).fd)
        except Exception as error:
            raise CannotTraceError(
                f"the kernel refuses the BPF program {name} ({stderr.reason(said()) or error})",
                "`tracer doctor` says what this kernel allows",
            ) from error


def _not_made(why: str) -> CannotTraceError:
    # BCC makes the maps as it compiles (src/cc/bpf_module.cc).
    if refused := _MAP_REFUSED.search(why):
        return CannotTraceError(
            f"the kernel refuses the BPF map {refused[1]} ({refused[2]})",
            "Run as root outside of a container, or in a privileged one",
        )
    return CannotTraceError(
        f"BCC cannot compile the BPF programs ({why})", "Install the BCC that your kernel's distribution has"
    )
