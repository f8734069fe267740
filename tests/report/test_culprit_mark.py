from __future__ import annotations

import documents
import pytest
from msgspec.structs import replace

from tracer.report.mark import find_mark


def test_a_rule_is_found_at_its_hook_with_the_freeing_after_it():
    mark = find_mark(documents.SPLIT)
    assert mark.leg is documents.SPLIT.legs[1]
    assert mark.decision.rule == documents.SPLIT.verdict.culprit.rule
    assert (mark.hop.place, mark.freed.place) == ("INPUT", "freed")


@pytest.mark.parametrize("name", ["healthy", "service"])
def test_what_arrived_has_no_mark(name):
    assert find_mark(documents.ALL[name]) is None


def test_a_kernel_drop_is_the_freeing_that_the_culprit_names():
    mark = find_mark(documents.KERNEL_DROP)
    assert mark.hop is mark.freed
    assert mark.hop.detail == "ip_rcv_finish_core+0x1a4 SKB_DROP_REASON_IP_RPFILTER"


def test_an_inferred_culprit_is_at_its_hook():
    mark = find_mark(documents.ELIMINATED)
    assert (mark.hop.place, mark.decision, mark.freed.place) == ("INPUT", None, "freed")


def test_a_rule_that_the_path_does_not_show_leaves_the_freeing():
    legs = tuple(
        replace(leg, hops=tuple(replace(hop, decisions=()) for hop in leg.hops)) for leg in documents.SPLIT.legs
    )
    assert find_mark(replace(documents.SPLIT, legs=legs)).hop.place == "freed"


def test_without_a_freeing_the_last_hop_is_where_it_was_last_seen():
    assert find_mark(documents.NOT_SENT).hop.detail == "refused Network is unreachable"


@pytest.mark.parametrize("legs", [(), documents.SPLIT.legs[:1], (replace(documents.SPLIT.legs[1], hops=()),)])
def test_a_leg_that_was_not_seen_has_no_mark(legs):
    assert find_mark(replace(documents.SPLIT, legs=legs)) is None
