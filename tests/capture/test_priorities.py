from __future__ import annotations

from tracer.capture.priorities import ENTRY, OUR_FUNCTION, link_priorities
from tracer.document import HookFunction

FIRST, LAST = -(2**31), 2**31 - 1  # NF_IP_PRI_FIRST, NF_IP_PRI_LAST


def functions(*priorities, function="ipt_do_table"):
    return [
        HookFunction("node", "ipv4", "INPUT", order, priority, function, "iptables-legacy", "filter", "INPUT")
        for order, priority in enumerate(priorities, 1)
    ]


def test_an_empty_hook_gets_one_link():
    assert link_priorities([]) == (ENTRY,)


def test_a_link_stands_at_the_start_and_after_each_group():
    assert link_priorities(functions(-300, -150, 0)) == (ENTRY, -299, -149, 1)


def test_functions_of_one_priority_are_one_group():
    assert link_priorities(functions(-300, -300, 0, 0, 0)) == (ENTRY, -299, 1)


def test_the_order_of_the_functions_does_not_matter():
    assert link_priorities(functions(0, -300, 0, -150)) == link_priorities(functions(-300, -150, 0, 0))


def test_no_link_between_adjacent_priorities():
    """The kernel refuses a second function at the priority of the first (net/netfilter/nf_bpf_link.c)."""
    assert link_priorities(functions(0, 1, 2)) == (ENTRY, 3)
    assert link_priorities(functions(0, 2)) == (ENTRY, 1, 3)


def test_the_entry_moves_before_what_stands_earlier():
    assert link_priorities(functions(-500)) == (-501, -499)
    assert link_priorities(functions(ENTRY)) == (ENTRY - 1, ENTRY + 1)
    assert link_priorities(functions(ENTRY + 1))[0] == ENTRY


def test_nothing_stands_after_conntracks_confirmation():
    assert link_priorities(functions(0, LAST)) == (ENTRY, 1)
    assert link_priorities(functions(LAST)) == (ENTRY,)


def test_nothing_is_linked_at_the_last_priority():
    """The kernel refuses NF_IP_PRI_LAST, and NF_IP_PRI_FIRST (net/netfilter/nf_bpf_link.c)."""
    assert link_priorities(functions(LAST - 1)) == (ENTRY,)
    assert link_priorities(functions(LAST - 2)) == (ENTRY, LAST - 1)


def test_what_runs_first_of_all_moves_nothing():
    """br_netfilter's ip_sabotage_in stands there, and nothing can stand before it."""
    assert link_priorities(functions(FIRST, 0)) == link_priorities(functions(0)) == (ENTRY, 1)
    assert link_priorities(functions(FIRST)) == (ENTRY,)


def test_where_there_is_no_room_before_the_first_group_the_first_link_follows_it():
    assert link_priorities(functions(FIRST + 1, 0)) == (FIRST + 2, 1)
    assert link_priorities(functions(FIRST + 2, 0)) == (FIRST + 1, FIRST + 3, 1)


def test_other_traces_links_are_no_group():
    ours = functions(ENTRY, -299, 1, function=OUR_FUNCTION)
    assert link_priorities([*functions(-300, 0), *ours]) == link_priorities(functions(-300, 0))


def test_priorities_ascend_and_are_nobodys():
    for taken in ([0], [-451], [-450, -449, 5], [FIRST, -1, 0, LAST], [-400, -300, -225, -200, -150, -100, 0, LAST]):
        links = link_priorities(functions(*taken))
        assert list(links) == sorted(set(links))
        assert not set(links) & set(taken)
        assert all(FIRST < link < LAST for link in links)
