"""The packet is the clock: a verdict comes when it is known, long before the timeout."""

from __future__ import annotations

import time

import pytest
from trace_lab import SERVER, ip, load, load_native, set_sysctl

TIMEOUT_S = 30
SECONDS = 2.0


def reject(lab):
    load(lab.node, "iptables-legacy", "-A FORWARD -p udp -j REJECT")


def lose_the_request(lab):
    load(lab.node, "iptables-legacy", "-A FORWARD -p udp -j DROP")


def lose_the_reply(lab):
    load(lab.node, "iptables-nft", "-A FORWARD -i veth2 -p udp -j DROP")


def lose_in_silence(lab):
    load_native(lab.node, "prerouting", "meta nftrace set 0", kind="filter at -440")
    lose_the_reply(lab)


def lose_in_the_kernel(lab):
    ip(lab.node, f"route add blackhole {SERVER[4]}")


def lose_at_the_source(lab):
    load(lab.client, "iptables-nft", "-A OUTPUT -p udp -j DROP")


def lose_to_another_address(lab):
    ip(lab.node, f"neigh replace {SERVER[4]} lladdr 02:00:00:00:00:99 dev veth2 nud permanent")


def lose_the_rejection(lab):
    load(lab.node, "iptables-nft", "-A FORWARD -p udp -j REJECT", "-A OUTPUT -p icmp -j DROP")


OUTCOMES = {
    None: "delivered",
    reject: "rejected",
    lose_the_request: "request_lost",
    lose_the_reply: "reply_lost",
    lose_in_silence: "reply_lost",
    lose_in_the_kernel: "request_lost",
    lose_at_the_source: "request_lost",
    lose_to_another_address: "request_lost",
    lose_the_rejection: "rejected",
}


@pytest.mark.parametrize("fault", OUTCOMES, ids=lambda fault: fault.__name__ if fault else "none")
def test_a_verdict_comes_when_it_is_known(trace, traced_lab, fault):
    if fault:
        fault(traced_lab)
    document = trace("client", "server", "udp", timeout_s=TIMEOUT_S)
    assert document.verdict.outcome == OUTCOMES[fault], document.verdict
    sent = next(event.at_ns for event in document.events if event.leg == "request")
    assert time.monotonic_ns() - sent < SECONDS * 1e9


def test_a_rejection_that_is_lost_says_so(trace, traced_lab):
    lose_the_rejection(traced_lab)
    verdict = trace("client", "server", "udp", timeout_s=TIMEOUT_S).verdict
    assert (verdict.outcome, verdict.culprit.hook) == ("rejected", "FORWARD")
    assert "The sender did not hear of it: that answer was dropped in node at OUTPUT by iptables-nft" in verdict.summary


def test_silence_is_waited_for_no_longer_than_asked(trace, traced_lab):
    set_sysctl(traced_lab.server, "net.ipv4.icmp_echo_ignore_all", 1)
    document = trace("client", "server", timeout_s=0.5)
    sent = next(event.at_ns for event in document.events if event.leg == "request")
    waited = (time.monotonic_ns() - sent) / 1e9
    assert document.verdict.outcome == "no_reply"
    assert 0.5 <= waited < SECONDS
