"""When to stop waiting: at the answer, or a moment after the packet's end was seen."""

from __future__ import annotations

import pytest
from sightings import DELIVERED, NODE, POD, REPLY, REQUEST, device, freed, hook, received, refused, rule, sent

from tracer.settled import GRACE_NS, MISDIRECTED_GRACE_NS, settled_at

MISDIRECTED = "SKB_DROP_REASON_OTHERHOST"


def test_a_probe_on_its_way_is_waited_for():
    assert settled_at([]) is None
    assert settled_at([sent(0)]) is None
    assert settled_at(REQUEST) is None
    assert settled_at([*REQUEST, *REPLY]) is None


def test_the_answer_settles_it_at_once():
    assert settled_at(DELIVERED) == 200
    assert settled_at([sent(0), received(70)]) == 70


def test_so_does_a_probe_that_was_refused():
    assert settled_at([refused(5)]) == 5


def test_a_freeing_settles_it_after_a_moment_in_which_a_copy_would_show():
    assert settled_at([*REQUEST, freed(90)]) == 90 + GRACE_NS


@pytest.mark.parametrize("later", [hook(95, POD, "INPUT"), device(95, NODE, "veth2", "egress")])
def test_a_copy_that_lives_on_is_waited_for(later):
    assert settled_at([*REQUEST, freed(90), later]) is None
    assert settled_at([*REQUEST, freed(90), later, freed(99)]) == 99 + GRACE_NS


def test_the_order_in_which_events_are_read_does_not_matter():
    assert settled_at([freed(90), *REQUEST[::-1]]) == settled_at([*REQUEST, freed(90)])


def test_what_becomes_of_the_request_is_no_news_once_there_is_a_reply():
    assert settled_at([*REQUEST, freed(90), *REPLY]) is None
    assert settled_at([*REQUEST, freed(90), *REPLY, freed(160, leg="reply")]) == 160 + GRACE_NS


def test_rules_say_nothing_of_the_end():
    assert settled_at([*REQUEST, rule(70, "nftables", "own", "in", "drop", handle=1)]) is None


def test_rules_that_are_heard_after_the_end_do_not_undo_it():
    said = rule(9_000, "nftables", "own", "in", "drop", handle=1)
    assert settled_at([*REQUEST, freed(90), said]) == 90 + GRACE_NS


def test_a_copy_that_a_bridge_flooded_to_a_wrong_port_is_not_the_end():
    assert settled_at([*REQUEST, freed(65, POD, "ip_rcv_core+0x1", MISDIRECTED)]) is None


def test_a_packet_that_only_came_to_wrong_devices_is_waited_for_longer():
    gone_astray = [*REQUEST[:4], freed(45, POD, "ip_rcv_core+0x1", MISDIRECTED)]
    assert settled_at(gone_astray) == 45 + MISDIRECTED_GRACE_NS
