"""Where nobody said that it dropped the packet: what is left when all are taken away that let it pass."""

from __future__ import annotations

import pytest
from sightings import (
    ENTRY,
    LEGACY,
    NATIVE,
    NFT,
    NODE,
    POD,
    evidence,
    freed,
    function,
    hook,
    ping,
    rule,
)

from tracer.capture.priorities import OUR_FUNCTION
from tracer.elimination import find_gap, is_behind, suspects

LAST = 2**31 - 1
HOOKS = (
    function("INPUT", 1, -150, NFT, "mangle"),
    function("INPUT", 2, 0, NFT, "filter"),
    function("INPUT", 3, 0, LEGACY, "filter"),
    function("INPUT", 4, LAST),
)
PASSED = (hook(10, NODE, "INPUT", ENTRY), hook(20, NODE, "INPUT", -149))
FREED = freed(30)


def gap_of(events, hooks=HOOKS, end=FREED):
    return find_gap(end, (*events, end), hooks)


def suspected(said, hooks=HOOKS, end=FREED, passed=PASSED):
    """Return backend and table of each suspect, the function where it has none."""
    seen = evidence((*passed, end, *said), hooks)
    left = suspects(find_gap(end, seen.events, hooks), end, seen.hops("request"))
    return [f"{entry.backend} {entry.table}" if entry.backend else entry.function for entry in left]


class TestGap:
    def test_lies_between_the_last_link_that_was_passed_and_the_next(self):
        gap = gap_of(PASSED[:1])
        assert (gap.netns, gap.hook, gap.above, gap.below) == (NODE, "INPUT", ENTRY, -149)
        assert [entry.table for entry in gap.functions] == ["mangle"]

    def test_holds_all_that_share_a_priority(self):
        gap = gap_of(PASSED)
        assert (gap.above, gap.below) == (-149, 1)
        assert [entry.backend for entry in gap.functions] == [NFT, LEGACY]

    def test_behind_the_last_link_goes_to_the_hooks_end(self):
        gap = gap_of([*PASSED, hook(25, NODE, "INPUT", 1)])
        assert (gap.above, gap.below) == (1, None)
        assert [entry.function for entry in gap.functions] == ["nf_confirm"]

    def test_is_where_the_packet_was_last(self):
        events = [hook(15, NODE, "PREROUTING", -99), *PASSED, hook(5, NODE, "PREROUTING", ENTRY)]
        assert gap_of(events).hook == "INPUT"

    def test_order_of_the_events_does_not_matter(self):
        assert gap_of(PASSED[::-1]) == gap_of(PASSED)

    def test_of_another_packet_says_nothing(self):
        others = [
            hook(25, NODE, "INPUT", 1, skb="0x2"),
            hook(25, NODE, "INPUT", 1, leg="reply"),
            hook(25, POD, "INPUT", 1),
        ]
        assert gap_of([*PASSED, *others]) == gap_of(PASSED)
        assert gap_of(others) is None

    def test_of_a_packet_that_was_not_read_is_taken_for_ipv4(self):
        assert gap_of(PASSED, end=freed(30, packet=b"")) == gap_of(PASSED)

    def test_counts_the_packets_own_family(self):
        entries = [*HOOKS, function("INPUT", 1, -5, NATIVE, "own", family="ipv6")]
        packet = ping("fd00::1", "fd00::2")
        passed = [hook(10, NODE, "INPUT", ENTRY, packet=packet)]
        gap = gap_of(passed, entries, freed(30, packet=packet))
        assert ([entry.table for entry in gap.functions], gap.below) == (["own"], -4)


class TestSuspects:
    def test_are_all_where_nobody_spoke(self):
        assert suspected([]) == [f"{NFT} filter", f"{LEGACY} filter"]

    def test_an_accept_clears(self):
        assert suspected([rule(90, NFT, "filter", "INPUT", "accept")]) == [f"{LEGACY} filter"]
        assert suspected([rule(90, LEGACY, "filter", "INPUT", "accept", position=3)]) == [f"{NFT} filter"]

    def test_an_accept_in_a_chain_that_was_called_clears_the_base_chain(self):
        said = [
            rule(90, NFT, "filter", "INPUT", "jump own", handle=1),
            rule(91, NFT, "filter", "own", "accept", handle=2),
        ]
        assert suspected(said) == [f"{LEGACY} filter"]

    @pytest.mark.parametrize("verdict", ["continue", "return", "jump own", "goto own", "unknown"])
    def test_whatever_goes_on_does_not_clear(self, verdict):
        """The next rule may have dropped the packet, and its message may be what was lost."""
        said = [rule(90, LEGACY, "filter", "INPUT", verdict, position=1), rule(91, NFT, "filter", "INPUT", "accept")]
        assert suspected(said) == [f"{LEGACY} filter"]

    def test_an_accept_at_another_hook_does_not_clear(self):
        said = [rule(90, NFT, "filter", "FORWARD", "accept", hook="FORWARD")]
        assert suspected(said) == [f"{NFT} filter", f"{LEGACY} filter"]

    def test_an_accept_in_another_namespace_does_not_clear(self):
        said = [rule(90, NFT, "filter", "INPUT", "accept", netns=POD)]
        assert suspected(said) == [f"{NFT} filter", f"{LEGACY} filter"]

    def test_an_accept_of_another_table_does_not_clear(self):
        assert suspected([rule(90, NFT, "mangle", "INPUT", "accept")]) == [f"{NFT} filter", f"{LEGACY} filter"]

    def test_one_base_chain_of_a_table_does_not_answer_for_the_other(self):
        hooks = [
            function("INPUT", 1, 0, NATIVE, "own", "first"),
            function("INPUT", 2, 0, NATIVE, "own", "second"),
        ]
        said = [
            rule(90, NATIVE, "own", "first", "jump shared", handle=1),
            rule(91, NATIVE, "own", "shared", "accept", handle=2),
            rule(92, NATIVE, "own", "second", "jump shared", handle=3),
        ]
        seen = evidence((*PASSED[:1], FREED, *said), hooks)
        left = suspects(find_gap(FREED, seen.events, hooks), FREED, seen.hops("request"))
        assert [entry.chain for entry in left] == ["second"]

    def test_where_nf_tables_freed_it_it_dropped_it(self):
        assert suspected([], end=freed(30, function="nft_do_chain+0x3e8")) == [f"{NFT} filter"]

    def test_functions_that_are_no_backend_count_too(self):
        passed = (*PASSED, hook(25, NODE, "INPUT", 1))
        assert suspected([], passed=passed) == ["nf_confirm"]

    def test_other_traces_links_are_the_last_to_be_suspected(self):
        links = [*HOOKS, function("INPUT", 5, 0, called=OUR_FUNCTION)]
        assert OUR_FUNCTION not in suspected([], links)
        said = [rule(90, backend, "filter", "INPUT", "accept") for backend in (NFT, LEGACY)]
        assert suspected(said, links) == [OUR_FUNCTION]

    def test_none_is_left_when_all_let_it_pass(self):
        assert suspected([rule(90, backend, "filter", "INPUT", "accept") for backend in (NFT, LEGACY)]) == []


class TestBehind:
    """Whether the packet went on from a base chain that says it took it away."""

    def decided(self, *later):
        said = rule(90, NFT, "filter", "INPUT", "queue", handle=1)
        seen = evidence((*PASSED, *later, said), HOOKS)
        [hop] = [hop for hop in seen.hops("request") if hop.place == "INPUT"]
        return is_behind(seen, "request", hop, hop.decisions[0])

    def test_it_was_not_seen_there(self):
        assert not self.decided()

    def test_it_was_seen_behind_the_chain(self):
        assert self.decided(hook(25, NODE, "INPUT", 1))

    def test_it_was_seen_at_the_chains_own_start_only(self):
        assert not self.decided(hook(25, NODE, "INPUT", -1))

    def test_nothing_is_known_of_the_hook(self):
        said = rule(90, NFT, "filter", "INPUT", "queue", handle=1)
        seen = evidence((*PASSED, said), ())
        hop = seen.hops("request")[0]
        assert not is_behind(seen, "request", hop, hop.decisions[0])

    def test_the_packet_was_not_seen_at_the_hook(self):
        said = rule(90, NFT, "filter", "INPUT", "queue", handle=1)
        seen = evidence((said,), HOOKS)
        hop = seen.hops("request")[0]
        assert not is_behind(seen, "request", hop, hop.decisions[0])

    def test_another_legs_packet_does_not_count(self):
        assert not self.decided(hook(25, NODE, "INPUT", 1, leg="reply"))
