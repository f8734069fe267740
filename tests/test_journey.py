"""Events become hops: where, in which order, with which addresses and decisions."""

from __future__ import annotations

import random

import pytest
from sightings import (
    DELIVERED,
    LEGACY,
    NATIVE,
    NFT,
    NODE,
    NODE_IP,
    POD,
    POD_IP,
    REPLY,
    REQUEST,
    datagram,
    device,
    freed,
    function,
    hook,
    received,
    refused,
    rule,
    sent,
)

from tracer.document import Addresses
from tracer.journey import build_legs


def spots(trace):
    return [(hop.netns, hop.place, hop.device) for hop in trace.hops]


def decided(hop):
    return [(each.backend, each.chain, each.verdict) for each in hop.decisions]


def hops_of(events, hooks=()):
    """Return the hops of a journey with one leg."""
    [leg] = build_legs(events, hooks)
    return leg.hops


def test_nothing_seen_is_no_journey():
    assert build_legs((), ()) == ()


def test_both_legs_hop_by_hop():
    request, reply = build_legs(DELIVERED, ())
    assert (request.leg, reply.leg) == ("request", "reply")
    assert spots(request) == [
        (NODE, "socket", None),
        (NODE, "OUTPUT", "veth-pod"),
        (NODE, "POSTROUTING", "veth-pod"),
        (NODE, "egress", "veth-pod"),
        (POD, "ingress", "eth0"),
        (POD, "PREROUTING", "eth0"),
        (POD, "INPUT", "eth0"),
    ]
    assert spots(reply) == [
        (POD, "OUTPUT", "eth0"),
        (POD, "POSTROUTING", "eth0"),
        (POD, "egress", "eth0"),
        (NODE, "ingress", "veth-pod"),
        (NODE, "PREROUTING", "veth-pod"),
        (NODE, "INPUT", "veth-pod"),
        (NODE, "socket", None),
    ]
    assert [hop.at_ns for hop in request.hops] == [event.at_ns for event in REQUEST]
    assert {(hop.address_from, hop.address_to) for hop in request.hops} == {(NODE_IP, POD_IP)}
    assert {(hop.address_from, hop.address_to) for hop in reply.hops} == {(POD_IP, NODE_IP)}
    assert {hop.translated_from for hop in (*request.hops, *reply.hops)} == {None}
    assert (request.hops[0].detail, reply.hops[-1].detail) == ("sent", "received")


def test_events_in_any_order_give_the_same_journey():
    shuffled = list(DELIVERED)
    random.Random(0).shuffle(shuffled)
    assert build_legs(shuffled, ()) == build_legs(DELIVERED, ())


def test_a_leg_that_was_not_seen_is_left_out():
    assert [trace.leg for trace in build_legs(REQUEST, ())] == ["request"]
    assert [trace.leg for trace in build_legs(REPLY, ())] == ["reply"]


def test_several_links_at_one_hook_are_one_hop():
    passed = [hook(at, NODE, "INPUT", priority) for at, priority in ((10, -451), (20, -149), (30, 1))]
    assert spots(build_legs(passed, ())[0]) == [(NODE, "INPUT", None)]
    assert hops_of(passed)[0].at_ns == 10


def test_the_same_hook_in_another_namespace_is_another_hop():
    passed = [hook(10, NODE, "PREROUTING"), hook(20, POD, "PREROUTING")]
    assert len(hops_of(passed)) == 2


def test_two_devices_in_a_row_are_two_hops():
    passed = [device(10, NODE, "veth1", "egress"), device(20, NODE, "uplink", "egress")]
    assert [hop.device for hop in hops_of(passed)] == ["veth1", "uplink"]


def test_what_bears_the_same_time_is_sent_first_and_received_last():
    events = [received(5), hook(5, NODE, "INPUT", leg="reply"), hook(5, NODE, "OUTPUT"), sent(5)]
    request, reply = build_legs(events, ())
    assert [hop.place for hop in request.hops] == ["socket", "OUTPUT"]
    assert [hop.place for hop in reply.hops] == ["INPUT", "socket"]


@pytest.mark.parametrize(
    "name, expected",
    [("PREROUTING", "in"), ("INPUT", "in"), ("FORWARD", "in"), ("OUTPUT", "out"), ("POSTROUTING", "out")],
)
def test_a_hook_bears_the_device_that_matters_there(name, expected):
    assert hops_of([hook(1, NODE, name, came="in", goes="out")])[0].device == expected
    assert hops_of([hook(1, NODE, name, **{{"in": "goes", "out": "came"}[expected]: "other"})])[0].device == "other"
    assert hops_of([hook(1, NODE, name)])[0].device is None


def test_details_of_what_became_of_the_packet():
    assert hops_of([refused(error="Network is unreachable")])[0].detail == "refused Network is unreachable"
    assert hops_of([freed(1)])[0].detail == "nf_hook_slow+0x7d SKB_DROP_REASON_NETFILTER_DROP"
    assert hops_of([freed(1, reason="")])[0].detail == "nf_hook_slow+0x7d"


def test_a_packet_that_makes_no_sense_has_no_addresses():
    [hop] = hops_of([hook(1, NODE, "INPUT", packet=b"\x45\0")])
    assert (hop.address_from, hop.address_to) == ("", "")


class TestTranslation:
    """A hop has the addresses that the packet left with, and those that it came with where they differ."""

    CAME = datagram("10.1.0.2", 4000, "10.96.0.10", 53)
    LEFT = datagram("10.1.0.2", 4000, "10.2.0.2", 5353)
    MASQUERADED = datagram("10.2.0.1", 61000, "10.2.0.2", 5353)

    def test_of_the_destination(self):
        [hop] = hops_of(
            [
                hook(10, NODE, "PREROUTING", -451, packet=self.CAME),
                hook(20, NODE, "PREROUTING", -199, packet=self.CAME),
                hook(30, NODE, "PREROUTING", -99, packet=self.LEFT),
            ]
        )
        assert (hop.address_from, hop.address_to) == ("10.1.0.2:4000", "10.2.0.2:5353")
        assert hop.translated_from == Addresses("10.1.0.2:4000", "10.96.0.10:53")

    def test_of_the_source_behind_it(self):
        _, hop = hops_of(
            [
                hook(10, NODE, "FORWARD", packet=self.LEFT),
                hook(20, NODE, "POSTROUTING", -451, packet=self.LEFT),
                hook(30, NODE, "POSTROUTING", 101, packet=self.MASQUERADED),
            ]
        )
        assert (hop.address_from, hop.address_to) == ("10.2.0.1:61000", "10.2.0.2:5353")
        assert hop.translated_from == Addresses("10.1.0.2:4000", "10.2.0.2:5353")

    def test_is_none_where_another_hop_made_it(self):
        _, hop = hops_of([hook(10, NODE, "PREROUTING", packet=self.CAME), hook(20, NODE, "FORWARD", packet=self.LEFT)])
        assert hop.translated_from is None


INPUT_HOOKS = (
    function("INPUT", 1, -150, NFT, "mangle"),
    function("INPUT", 2, 0, NFT, "filter"),
    function("INPUT", 3, 0, LEGACY, "filter"),
)


class TestDecisions:
    RULES = (
        rule(900, NFT, "filter", "INPUT", "jump own", position=1, handle=4),
        rule(901, NFT, "filter", "own", "accept", position=1, handle=5),
        rule(950, LEGACY, "filter", "INPUT", "drop", position=1),
    )

    def test_stand_at_their_hook(self):
        hops = hops_of([*REQUEST, hook(70, NODE, "INPUT"), *self.RULES], INPUT_HOOKS)
        assert {hop.place for hop in hops if hop.decisions} == {"INPUT"}
        [hop] = [hop for hop in hops if hop.decisions]
        assert hop.netns == NODE
        assert decided(hop) == [(NFT, "INPUT", "jump own"), (NFT, "own", "accept"), (LEGACY, "INPUT", "drop")]

    def test_keep_what_the_event_said(self):
        [hop] = hops_of([hook(1, NODE, "INPUT"), rule(9, NFT, "nat", "INPUT", "accept", handle=7, owner="calico")])
        [decision] = hop.decisions
        assert (decision.family, decision.table, decision.position, decision.handle) == ("ip", "nat", None, 7)
        assert (decision.rule, decision.owner) == ("-A INPUT -j ACCEPT", "calico")

    def test_are_not_repeated_where_a_hook_is_passed_twice(self):
        passed = [hook(10, NODE, "PREROUTING"), hook(20, NODE, "FORWARD"), hook(30, NODE, "PREROUTING")]
        said = rule(99, NFT, "raw", "PREROUTING", "accept", hook="PREROUTING")
        assert [len(hop.decisions) for hop in hops_of([*passed, said])] == [1, 0, 0]

    def test_of_one_leg_are_not_the_others(self):
        request, reply = build_legs(
            [
                hook(1, NODE, "OUTPUT"),
                hook(2, NODE, "OUTPUT", leg="reply"),
                rule(3, NFT, "raw", "OUTPUT", "accept", "OUTPUT"),
            ],
            (),
        )
        assert (len(request.hops[0].decisions), len(reply.hops[0].decisions)) == (1, 0)

    def test_of_another_namespace_are_not_taken_for_this_ones(self):
        hops = hops_of([hook(1, NODE, "INPUT"), rule(3, NFT, "filter", "INPUT", "accept", netns=POD)])
        assert [(hop.netns, len(hop.decisions)) for hop in hops] == [(NODE, 0), (POD, 1)]


class TestUnseen:
    """What a rule said is never left out, even where no event tells that the packet was there."""

    def test_a_lost_sighting(self):
        events = [
            device(10, NODE, "veth-pod", "ingress"),
            freed(30),
            rule(900, LEGACY, "filter", "INPUT", "drop", position=2),
        ]
        hops = hops_of(events, INPUT_HOOKS)
        assert [(hop.place, hop.at_ns) for hop in hops] == [("ingress", 10), ("INPUT", 10), ("freed", 30)]
        assert decided(hops[1]) == [(LEGACY, "INPUT", "drop")]

    def test_a_hook_of_another_family(self):
        said = rule(900, NATIVE, "odd", "out", "drop", hook="", family="netdev", handle=3)
        hops = hops_of([hook(10, NODE, "POSTROUTING"), freed(20), said])
        assert [hop.place for hop in hops] == ["POSTROUTING", "netdev hook", "freed"]

    def test_comes_before_the_packet_is_received(self):
        said = rule(900, NFT, "filter", "INPUT", "accept", leg="reply")
        hops = hops_of([device(10, NODE, "veth-pod", "ingress", leg="reply"), received(20), said])
        assert [hop.place for hop in hops] == ["ingress", "INPUT", "socket"]

    def test_in_a_namespace_that_was_not_seen(self):
        said = rule(900, NFT, "filter", "INPUT", "drop", netns=POD, position=1)
        hops = hops_of([hook(10, NODE, "OUTPUT"), freed(20, POD), said])
        assert [(hop.netns, hop.place) for hop in hops] == [(NODE, "OUTPUT"), (POD, "INPUT"), (POD, "freed")]

    def test_before_the_first_of_several_ends(self):
        said = rule(900, NFT, "filter", "INPUT", "drop", netns="netns:other", position=1)
        hops = hops_of([hook(10, NODE, "OUTPUT"), freed(20, POD), freed(30, NODE), said])
        assert [hop.place for hop in hops] == ["OUTPUT", "INPUT", "freed", "freed"]

    def test_with_the_addresses_of_the_first_packet_that_was_told(self):
        packet = datagram("10.0.0.2", 1, "10.0.0.1", 2)
        said = [rule(900, NFT, "raw", "INPUT", "accept"), rule(901, NFT, "filter", "INPUT", "drop", packet=packet)]
        assert hops_of(said)[0].address_from == "10.0.0.2:1"

    def test_without_any_sighting(self):
        [hop] = hops_of(
            [rule(900, LEGACY, "filter", "INPUT", "drop", position=1, packet=datagram("10.0.0.2", 1, "10.0.0.1", 2))]
        )
        assert (hop.place, hop.at_ns, hop.address_from, hop.address_to) == ("INPUT", 900, "10.0.0.2:1", "10.0.0.1:2")

    def test_both_backends_at_one_hook_are_one_hop(self):
        said = [
            rule(900, NFT, "filter", "INPUT", "accept"),
            rule(905, NFT, "raw", "OUTPUT", "accept", hook="OUTPUT"),
            rule(910, LEGACY, "filter", "INPUT", "accept"),
        ]
        hops = hops_of([hook(10, NODE, "PREROUTING"), *said], INPUT_HOOKS)
        assert [(hop.place, len(hop.decisions)) for hop in hops] == [("PREROUTING", 0), ("INPUT", 2), ("OUTPUT", 1)]


class TestReceivedCopies:
    """A raw socket gets a copy, and the kernel then frees the packet that nobody else wants."""

    def test_the_freeing_behind_a_received_answer_is_no_news(self):
        refusal = freed(190, NODE, "ping_rcv+0xab", "SKB_DROP_REASON_NO_SOCKET", leg="reply")
        assert build_legs([*DELIVERED, refusal], ()) == build_legs(DELIVERED, ())

    def test_what_a_bridge_flooded_to_others_is_no_news_of_a_packet_that_arrived(self):
        copy = freed(145, POD, "ip_rcv_core+0x2", "SKB_DROP_REASON_OTHERHOST", leg="reply")
        assert build_legs([*DELIVERED, copy], ()) == build_legs(DELIVERED, ())

    def test_a_freeing_before_the_answer_came_in_is(self):
        copy = freed(145, NODE, leg="reply")
        assert "freed" in [hop.place for hop in build_legs([*DELIVERED, copy], ())[1].hops]

    def test_a_freeing_in_a_namespace_whose_hooks_were_not_seen_is(self):
        events = [freed(190, NODE, leg="reply"), received(200)]
        assert [hop.place for hop in hops_of(events)] == ["freed", "socket"]

    def test_a_freeing_elsewhere_is(self):
        elsewhere = freed(190, POD, leg="reply")
        assert "freed" in [hop.place for hop in build_legs([*DELIVERED, elsewhere], ())[1].hops]

    def test_a_freeing_without_an_answer_is(self):
        refusal = freed(190, NODE, "ping_rcv+0xab", "SKB_DROP_REASON_NO_SOCKET", leg="reply")
        assert build_legs([*REQUEST, *REPLY, refusal], ())[1].hops[-1].place == "freed"
