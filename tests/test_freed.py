"""Which freeing was the end of the packet, and which were only copies."""

from __future__ import annotations

import pytest
from sightings import NODE, POD, REQUEST, freed, hook

from tracer.freed import end_of, function_name, is_by_netfilter, is_by_queue, reason_word

OTHERHOST = "SKB_DROP_REASON_OTHERHOST"


def test_none_was_seen():
    assert end_of(REQUEST, "request") is None


def test_the_last_one_counts():
    first, last = freed(10), freed(20, POD)
    assert end_of([last, *REQUEST, first], "request") == last


def test_each_leg_has_its_own():
    request, reply = freed(10), freed(20, leg="reply")
    assert (end_of([request, reply], "request"), end_of([request, reply], "reply")) == (request, reply)


def test_a_copy_for_another_hardware_address_is_not_the_end():
    copy, end = freed(30, function="ip_rcv_core+0x1", reason=OTHERHOST), freed(20)
    assert end_of([copy, end], "request") == end
    assert end_of([copy, *REQUEST], "request") is None


def test_unless_the_packet_was_seen_nowhere_else():
    copies = [freed(at, POD, "ip_rcv_core+0x1", OTHERHOST) for at in (30, 31)]
    assert end_of([*copies, hook(10, NODE, "OUTPUT")], "request") == copies[1]
    assert end_of([*copies, hook(10, POD, "INPUT", leg="reply")], "request") == copies[1]


@pytest.mark.parametrize(
    "function, reason, by_netfilter, by_queue",
    [
        ("nf_hook_slow+0x7d", "SKB_DROP_REASON_NETFILTER_DROP", True, False),
        ("nf_hook_slow+0x7d", "", True, False),  # 5.10 gives no reasons
        ("nft_do_chain+0x3e8", "SKB_DROP_REASON_NETFILTER_DROP", True, False),
        ("some_function+0x1", "SKB_DROP_REASON_NETFILTER_DROP", True, False),
        ("nf_queue+0x1a4", "SKB_DROP_REASON_NOT_SPECIFIED", False, True),
        ("nfqnl_flush+0x9", "SKB_DROP_REASON_NOT_SPECIFIED", False, True),
        ("nf_reinject+0x9", "", False, True),
        ("ip_rcv_finish_core+0x25b", "SKB_DROP_REASON_IP_RPFILTER", False, False),
        ("tcp_v4_rcv+0x91", "SKB_DROP_REASON_NO_SOCKET", False, False),
    ],
)
def test_whose_doing_it_was(function, reason, by_netfilter, by_queue):
    event = freed(1, function=function, reason=reason)
    assert (is_by_netfilter(event), is_by_queue(event)) == (by_netfilter, by_queue)


def test_names_for_people():
    assert function_name(freed(1, function="ip_error+0x94")) == "ip_error"
    assert function_name(freed(1, function="0xffffffffc0a8d000")) == "0xffffffffc0a8d000"
    assert reason_word("SKB_DROP_REASON_IP_RPFILTER") == "IP_RPFILTER"
    assert reason_word("") == "no reason given"
