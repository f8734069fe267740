"""Watch netfilter with links in its hooks (kernel 6.4 and newer)."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator, Mapping
from typing import Literal

from tracer.capture.bpf_syscall import link_netfilter
from tracer.capture.programs import Programs
from tracer.errors import CannotTraceError
from tracer.netfilter.ruleset import HOOKS
from tracer.netns import Netns

_AF = {4: socket.AF_INET, 6: socket.AF_INET6}
_ENTRY_HOOKS = ("PREROUTING", "OUTPUT")  # where a packet enters a namespace, or is born in it
_BUSY_TRIES = 16  # as many traces at once find a place in one hook


def link_hooks(
    programs: Programs, netns: Netns, version: Literal[4, 6], priorities: Mapping[str, tuple[int, ...]]
) -> Iterator[int]:
    """Link our programs into the hooks of `netns`, the calling thread's, and yield each link's descriptor.

    `priorities` has those of each hook, ascending. Raises CannotTraceError.
    """
    for number, hook in enumerate(HOOKS):
        for nth, priority in enumerate(priorities[hook]):
            is_entry = nth == 0 and hook in _ENTRY_HOOKS
            program = programs.netfilter("netfilter_entry" if is_entry else "netfilter_passage")
            yield _link_near(netns, program, _AF[version], number, priority, -1 if nth == 0 else 1)


def _link_near(netns: Netns, program: int, family: int, hook: int, priority: int, step: int) -> int:
    """Link at `priority`, or at the next free one: another trace's link may stand there."""
    for attempt in range(_BUSY_TRIES):
        try:
            return link_netfilter(program, family, hook, priority + attempt * step)
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise CannotTraceError(
                    f"the kernel refuses a BPF link in {HOOKS[hook]} of {netns.label}: {error.strerror}",
                    "Netfilter links need kernel 6.4 or newer; see `tracer doctor`",
                ) from error
    raise CannotTraceError(
        f"{HOOKS[hook]} of {netns.label} has no free priority near {priority}",
        "Wait until other traces have ended",
    )
