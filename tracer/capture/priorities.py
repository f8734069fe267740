"""Choose where in a netfilter hook our links stand: at its start, and after each group of its functions."""

from __future__ import annotations

from collections.abc import Iterable

from tracer.document import HookFunction

ENTRY = -451  # before conntrack's defragmentation (-400) and before the rule that sets the trace bit (-450)
_FIRST, _LAST = -(2**31), 2**31 - 1  # NF_IP_PRI_FIRST and _LAST, which the kernel refuses (net/netfilter/nf_bpf_link.c)
OUR_FUNCTION = "nf_hook_run_bpf"  # a BPF link, ours or another trace's


def link_priorities(functions: Iterable[HookFunction]) -> tuple[int, ...]:
    """Return the priorities for one hook's links, ascending; `functions` are those of that hook and family.

    A group is what shares a priority: nothing can stand between two functions of one group. No link stands before
    what is at NF_IP_PRI_FIRST, where br_netfilter takes bridged packets out that were here before, nor after
    NF_IP_PRI_LAST, where conntrack confirms. Other traces' links are no group.
    """
    taken = {function.priority for function in functions if function.function != OUR_FUNCTION}
    groups = taken - {_FIRST}
    start = min([ENTRY, *(priority - 1 for priority in groups)])
    wanted = {start, *(priority + 1 for priority in groups)} - groups
    return tuple(sorted(priority for priority in wanted if _FIRST < priority < _LAST))
