"""Choose where in a netfilter hook our links stand: at its start, and after each group of its functions."""

from __future__ import annotations

from collections.abc import Iterable

from tracer.document import HookFunction

ENTRY = -451  # before conntrack's defragmentation (-400) and before the rule that sets the trace bit (-450)
_LAST = 2**31 - 1  # NF_IP_PRI_LAST; the kernel refuses a link there (net/netfilter/nf_bpf_link.c)
OUR_FUNCTION = "nf_hook_run_bpf"  # a BPF link, ours or another trace's


def link_priorities(functions: Iterable[HookFunction]) -> tuple[int, ...]:
    """Return the priorities for one hook's links, ascending; `functions` are those of that hook and family.

    A group is what shares a priority: nothing can stand between two functions of one group. No link stands after
    NF_IP_PRI_LAST, where conntrack confirms. Other traces' links are no group.
    """
    groups = sorted({function.priority for function in functions if function.function != OUR_FUNCTION})
    first = min([ENTRY, *(priority - 1 for priority in groups[:1])])
    return (
        first,
        *(priority + 1 for priority in groups if priority < _LAST - 1 and priority + 1 not in groups),
    )
