"""Watch netfilter with links in its hooks (kernel 6.4 and newer)."""

from __future__ import annotations

import errno
import itertools
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

from tracer.capture.bpf_syscall import link_netfilter
from tracer.capture.programs import Programs
from tracer.errors import CannotTraceError
from tracer.netfilter.ruleset import HOOKS
from tracer.netns import Netns

_AF = {4: socket.AF_INET, 6: socket.AF_INET6}
_FIRST, _LAST = -(2**31), 2**31 - 1  # which the kernel refuses (net/netfilter/nf_bpf_link.c)
_ENTRY_HOOKS = ("PREROUTING", "OUTPUT")  # where a packet enters a namespace, or is born in it
_PLACES = 16  # as many traces at once find a place between two distant groups of a hook's functions
_BUSY_S = 5.0
_POLL_S = 0.02


def link_hooks(
    programs: Programs, netns: Netns, version: Literal[4, 6], priorities: Mapping[str, tuple[int, ...]]
) -> Iterator[int]:
    """Link our programs into the hooks of `netns`, the calling thread's, and yield each link's descriptor.

    `priorities` has those of each hook, ascending. Another trace's link may stand there: then ours stands near, on the
    same side of the same functions, and waits for a place where there is none. Raises CannotTraceError.
    """
    for number, hook in enumerate(HOOKS):
        for nth, places in enumerate(_places(priorities[hook])):
            is_entry = nth == 0 and hook in _ENTRY_HOOKS
            program = programs.netfilter("netfilter_entry" if is_entry else "netfilter_passage")
            yield _link_near(netns, program, _AF[version], number, places)


def _places(priorities: tuple[int, ...]) -> Iterator[range]:
    """Yield where each of a hook's links may stand: the first at its priority or before, the others there or after."""
    for nth, (priority, following) in enumerate(itertools.zip_longest(priorities, priorities[1:])):
        if nth == 0:
            yield range(priority, max(priority - _PLACES, _FIRST), -1)
        else:  # at the priority before the next link stands the function that it follows
            yield range(priority, min(priority + _PLACES, following - 1 if following is not None else _LAST))


def _link_near(netns: Netns, program: int, family: int, hook: int, places: range) -> int:
    deadline = time.monotonic() + _BUSY_S
    while True:
        descriptor = _link_at(netns, program, family, hook, places)
        if descriptor is not None:
            return descriptor
        if time.monotonic() > deadline:
            raise CannotTraceError(
                f"{HOOKS[hook]} of {netns.label} has no free priority near {places[0]}",
                "Wait until other traces have ended",
            )
        time.sleep(_POLL_S)


def _link_at(netns: Netns, program: int, family: int, hook: int, places: Iterable[int]) -> int | None:
    """Link at the first of `places` that is free; return None when none is."""
    for priority in places:
        try:
            return link_netfilter(program, family, hook, priority)
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise CannotTraceError(
                    f"the kernel refuses a BPF link in {HOOKS[hook]} of {netns.label}: {error.strerror}",
                    "Netfilter links need kernel 6.4 or newer; see `tracer doctor`",
                ) from error
    return None
