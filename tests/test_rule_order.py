"""At one hook, the hooks' true order decides; the times at which the backends were heard do not."""

from __future__ import annotations

import random

import pytest
from msgspec.structs import replace
from sightings import LEGACY, NATIVE, NFT, NODE, POD, function, ping, rule

from tracer.rule_order import in_order


def names(rules):
    return [(event.backend, event.table, event.chain) for event in rules]


NFT_SAID = (
    rule(10, NFT, "mangle", "INPUT", "accept"),
    rule(11, NFT, "filter", "INPUT", "jump own", handle=1),
    rule(12, NFT, "filter", "own", "return", handle=2),
    rule(13, NFT, "filter", "INPUT", "accept"),
)
LEGACY_SAID = (
    rule(80, LEGACY, "mangle", "INPUT", "accept"),
    rule(81, LEGACY, "filter", "INPUT", "jump own", position=1),
    rule(82, LEGACY, "filter", "own", "drop", position=1),
)
MANGLE = {NFT: names(NFT_SAID[:1]), LEGACY: names(LEGACY_SAID[:1])}
FILTER = {NFT: names(NFT_SAID[1:]), LEGACY: names(LEGACY_SAID[1:])}


def hooks(first, second):
    return [
        function("INPUT", 1, -150, first, "mangle"),
        function("INPUT", 2, -150, second, "mangle"),
        function("INPUT", 3, 0, first, "filter"),
        function("INPUT", 4, 0, second, "filter"),
    ]


@pytest.mark.parametrize("first, second", [(NFT, LEGACY), (LEGACY, NFT)])
def test_table_by_table_in_the_order_of_the_hooks(first, second):
    expected = [*MANGLE[first], *MANGLE[second], *FILTER[first], *FILTER[second]]
    for said in ((*NFT_SAID, *LEGACY_SAID), (*LEGACY_SAID, *NFT_SAID)):
        assert names(in_order(said, hooks(first, second))) == expected


def test_two_base_chains_of_one_table():
    entries = [
        function("INPUT", 1, -10, NATIVE, "own", "early"),
        function("INPUT", 2, 0, LEGACY, "filter"),
        function("INPUT", 3, 10, NATIVE, "own", "late"),
    ]
    said = [
        rule(1, NATIVE, "own", "early", "jump shared", handle=1),
        rule(2, NATIVE, "own", "shared", "return", handle=2),
        rule(3, NATIVE, "own", "early", "accept"),
        rule(4, NATIVE, "own", "late", "jump shared", handle=3),
        rule(5, NATIVE, "own", "shared", "drop", handle=4),
        rule(9, LEGACY, "filter", "INPUT", "accept"),
    ]
    assert [event.at_ns for event in in_order(said, entries)] == [1, 2, 3, 9, 4, 5]


def test_chains_of_other_hooks_and_namespaces_do_not_count():
    entries = [
        function("FORWARD", 1, 0, LEGACY, "filter", "INPUT"),
        function("INPUT", 1, 0, LEGACY, "filter", netns=POD),
        function("INPUT", 1, 0, NFT, "filter"),
        function("INPUT", 2, 0, LEGACY, "filter"),
    ]
    said = [rule(1, LEGACY, "filter", "INPUT", "accept"), rule(2, NFT, "filter", "INPUT", "accept")]
    assert [event.backend for event in in_order(said, entries)] == [NFT, LEGACY]


INET = [
    function("INPUT", 1, 0, NATIVE, "own", "in"),
    function("INPUT", 2, 0, LEGACY, "filter"),
    function("INPUT", 1, 0, LEGACY, "filter", family="ipv6"),
    function("INPUT", 2, 0, NATIVE, "own", "in", family="ipv6"),
]


@pytest.mark.parametrize(
    "family, source, expected", [("ip", "10.0.0.1", [NATIVE, LEGACY]), ("ip6", "fd00::1", [LEGACY, NATIVE])]
)
def test_an_inet_chain_stands_where_the_packets_family_has_it(family, source, expected):
    """Only a base chain's first message has the packet, and its policy comes later."""
    said = [
        rule(1, NATIVE, "own", "in", "continue", family="inet", handle=1, packet=ping(source, source)),
        rule(2, NATIVE, "own", "in", "accept", family="inet"),
        rule(3, LEGACY, "filter", "INPUT", "accept", family=family, packet=ping(source, source)),
    ]
    assert [event.backend for event in in_order(said[1:], INET)] == expected
    assert list(dict.fromkeys(event.backend for event in in_order(said, INET))) == expected


def test_two_inet_tables_of_an_ipv6_packet():
    hooks = [
        function("INPUT", 1, 0, NATIVE, "one", "in"),
        function("INPUT", 2, 0, NATIVE, "two", "in"),
        function("INPUT", 1, 0, NATIVE, "two", "in", family="ipv6"),
        function("INPUT", 2, 0, NATIVE, "one", "in", family="ipv6"),
    ]
    said = [rule(at, NATIVE, table, "in", "accept", family="inet") for at, table in ((1, "one"), (2, "two"))]
    assert [event.table for event in in_order(said, hooks)] == ["one", "two"]
    for source, expected in (("10.0.0.1", ["one", "two"]), ("fd00::1", ["two", "one"])):
        with_packet = [replace(said[0], packet=ping(source, source)), said[1]]
        assert [event.table for event in in_order(with_packet, hooks)] == expected


def test_what_no_hook_accounts_for_keeps_its_order():
    said = [rule(at, NFT, "filter", chain, "accept") for at, chain in ((1, "c"), (2, "a"), (3, "b"))]
    assert in_order(said, []) == said


def test_nothing_is_left_out_or_repeated():
    said = [*NFT_SAID, *LEGACY_SAID]
    random.Random(1).shuffle(said)
    assert sorted(in_order(said, hooks(NFT, LEGACY)), key=said.index) == said
    assert {event.netns for event in in_order(said, [])} == {NODE}
