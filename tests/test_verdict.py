"""Every outcome, with its culprit, its sentence, and how sure it is."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from sightings import (
    DELIVERED,
    ENTRY,
    FLOW,
    LEGACY,
    NATIVE,
    NFT,
    NODE,
    NODE_IP,
    PING,
    POD,
    POD_IP,
    REPLY,
    REQUEST,
    datagram,
    device,
    evidence,
    freed,
    function,
    hook,
    icmp_error,
    received,
    refused,
    rule,
    segment,
    sent,
)

from tracer.document import Culprit, Place, Verdict
from tracer.verdict import is_refusal, judge

INPUT_HOOKS = (
    function("INPUT", 1, -150, NFT, "mangle"),
    function("INPUT", 2, 0, NFT, "filter"),
    function("INPUT", 3, 0, LEGACY, "filter"),
)
NO_SOCKET = "SKB_DROP_REASON_NO_SOCKET"


def verdict_on(events, hooks=(), **other):
    return judge(evidence(events, hooks, **other))


def kernel(netns=NODE, **other):
    return Culprit("kernel", netns, **other)


class TestDelivered:
    def test_with_the_time_that_it_took_in_the_kernel(self):
        events = [replace(event, at_ns=event.at_ns * 10_000) for event in DELIVERED]
        summary = "Delivered: the icmp probe went from node to netns:pod and its reply came back, 1.40 ms in all."
        assert verdict_on(events) == Verdict("delivered", "reply", summary, "observed", None)

    def test_without_a_single_packet_event(self):
        """The capture may have lost them all: the answer is there all the same, and its time is not known."""
        summary = "Delivered: the icmp probe went from node to netns:pod and its reply came back."
        assert verdict_on([sent(0), received(9)]) == Verdict("delivered", "reply", summary, "observed", None)

    def test_whatever_became_of_copies(self):
        copies = [freed(45, NODE), freed(155, NODE, leg="reply")]
        assert verdict_on([*DELIVERED, *copies]).outcome == "delivered"

    def test_also_where_a_rule_dropped_a_copy(self):
        said = rule(70, LEGACY, "filter", "INPUT", "drop", netns=POD, position=1)
        assert verdict_on([*DELIVERED, said]).outcome == "delivered"


class TestNotSent:
    def test_because_the_kernel_refused_it(self):
        assert verdict_on([refused(error="Network is unreachable")]) == Verdict(
            "not_sent",
            "request",
            "Not sent: the kernel refused the probe from node to netns:pod in node: Network is unreachable.",
            "observed",
            kernel(device="veth-pod", function="sendto", reason="Network is unreachable"),
        )

    def test_is_not_what_a_rule_of_output_dropped(self):
        """The kernel tells the sender of a drop in OUTPUT, as `Operation not permitted`."""
        events = [
            refused(),
            hook(1, NODE, "OUTPUT", goes="veth-pod"),
            freed(2, function="nft_do_chain+0x3e8"),
            rule(90, NFT, "filter", "OUTPUT", "drop", hook="OUTPUT", position=1, handle=3),
        ]
        verdict = verdict_on(events)
        assert (verdict.outcome, verdict.leg, verdict.confidence) == ("request_lost", "request", "observed")
        assert (verdict.culprit.hook, verdict.culprit.backend) == ("OUTPUT", NFT)
        assert "was dropped in node at OUTPUT by iptables-nft, table filter, chain OUTPUT, rule 1:" in verdict.summary

    def test_is_not_what_only_a_rule_speaks_of(self):
        events = [refused(), rule(90, LEGACY, "filter", "OUTPUT", "drop", hook="OUTPUT", position=1)]
        assert verdict_on(events).outcome == "request_lost"


class TestRejected:
    REQUEST = tuple(event for event in REQUEST if event.netns == NODE)
    SAID = rule(900, LEGACY, "filter", "FORWARD", "drop", hook="FORWARD", position=2, rule="-A FORWARD -j REJECT")
    HOOKS = (function("FORWARD", 1, 0, LEGACY, "filter"), function("FORWARD", 2, 0, NFT, "filter"))

    @staticmethod
    def answer(source=POD_IP, **other):
        return icmp_error(PING, source, **other)

    def test_by_a_rule(self):
        answer = self.answer("10.0.0.9")
        events = [
            sent(0),
            hook(10, NODE, "FORWARD", came="veth-pod"),
            freed(20),
            hook(30, NODE, "INPUT", leg="reply", packet=answer),
            self.SAID,
            received(99, answer),
        ]
        verdict = verdict_on(events, self.HOOKS)
        assert verdict.summary == (
            "Rejected: the request from node to netns:pod was answered with ICMP port unreachable by 10.0.0.9, in node "
            "at FORWARD by iptables-legacy, table filter, chain FORWARD, rule 2: -A FORWARD -j REJECT. iptables-legacy "
            "ran first at this priority: iptables-nft did not see the packet there."
        )
        assert (verdict.outcome, verdict.leg, verdict.confidence) == ("rejected", "request", "observed")
        assert (verdict.culprit.kind, verdict.culprit.position, verdict.culprit.device) == ("rule", 2, "veth-pod")

    def test_by_a_closed_port(self):
        answer = segment(POD_IP, 81, NODE_IP, 4000, 0x14)
        events = [*REQUEST, freed(70, POD, "tcp_v4_rcv+0x91", NO_SOCKET), received(99, answer)]
        assert verdict_on(events) == Verdict(
            "rejected",
            "request",
            "Rejected: the request from node to netns:pod was answered with a TCP reset by 10.0.0.2:81, in netns:pod "
            "by the kernel: tcp_v4_rcv (NO_SOCKET).",
            "observed",
            kernel(POD, function="tcp_v4_rcv+0x91", reason=NO_SOCKET),
        )

    def test_by_somebody_who_was_not_seen(self):
        events = [*self.REQUEST, received(99, self.answer("192.0.2.1", kind=11, code=0))]
        verdict = verdict_on(events)
        assert verdict.summary == (
            "Rejected: the request from node to netns:pod was answered with ICMP time exceeded by 192.0.2.1."
        )
        assert verdict.culprit == kernel(NODE, reason="answered with ICMP time exceeded by 192.0.2.1")

    def test_also_where_the_sender_did_not_hear_of_it(self):
        answer = self.answer()
        events = [
            *REQUEST,
            freed(70, POD, "__udp4_lib_rcv+0x1", NO_SOCKET),
            hook(80, POD, "OUTPUT", leg="reply", packet=answer, skb="0x2"),
            hook(90, NODE, "INPUT", leg="reply", packet=answer, skb="0x2"),
            freed(95, NODE, leg="reply", packet=answer, skb="0x2"),
            rule(900, LEGACY, "filter", "INPUT", "drop", leg="reply", position=1),
        ]
        verdict = verdict_on(events, INPUT_HOOKS)
        assert (verdict.outcome, verdict.leg, verdict.culprit.netns) == ("rejected", "request", POD)
        assert verdict.summary.endswith(
            "in netns:pod by the kernel: __udp4_lib_rcv (NO_SOCKET). The sender did not hear of it: that answer was "
            "dropped in node at INPUT by iptables-legacy, table filter, chain INPUT, rule 1: -A INPUT -j DROP."
        )

    def test_by_a_kernel_that_gives_no_reason(self):
        events = [*REQUEST, freed(70, POD, "tcp_v4_rcv+0x91", ""), received(99, self.answer())]
        verdict = verdict_on(events)
        assert verdict.summary.endswith(", in netns:pod by the kernel: tcp_v4_rcv (no reason given).")
        assert verdict.culprit.reason is None

    def test_although_a_rule_was_heard_first_whose_packet_is_not_known(self):
        answer = self.answer()
        said = rule(75, NFT, "raw", "OUTPUT", "accept", hook="OUTPUT", leg="reply", netns=POD)
        seen = hook(80, POD, "OUTPUT", leg="reply", packet=answer)
        assert verdict_on([*REQUEST, said, seen]).outcome == "rejected"

    @pytest.mark.parametrize(
        "packet, expected",
        [
            (icmp_error(PING, POD_IP), True),
            (icmp_error(PING, POD_IP, kind=11, code=0), True),
            (segment(POD_IP, 80, NODE_IP, 4000, 0x14), True),
            (segment(POD_IP, 80, NODE_IP, 4000, 0x12), False),
            (segment(POD_IP, 80, NODE_IP, 4000, 0x14)[:30], False),
            (datagram(POD_IP, 53, NODE_IP, 4000), False),
            (PING, False),
            (b"", False),
            (b"\x45", False),
        ],
    )
    def test_what_is_a_refusal(self, packet, expected):
        assert is_refusal(packet) is expected


class TestDropped:
    """By a rule or policy that said so."""

    ACCEPTED = rule(900, NFT, "filter", "INPUT", "accept")
    DROPPED = rule(901, LEGACY, "filter", "guard", "drop", position=3, owner="calico")

    def reply_lost(self, *said, hooks=INPUT_HOOKS):
        return verdict_on([*REQUEST, *REPLY, freed(170, leg="reply", skb="0x2"), *said], hooks)

    def test_a_reply_by_a_rule_of_the_backend_that_ran_last(self):
        said = [replace(event, leg="reply") for event in (self.ACCEPTED, self.DROPPED)]
        assert self.reply_lost(*said) == Verdict(
            "reply_lost",
            "reply",
            "Reply lost: the reply from netns:pod to node was dropped in node at INPUT by iptables-legacy, table "
            "filter, chain guard, rule 3: -A guard -j DROP. iptables-nft ran first at this hook and accepted it.",
            "observed",
            Culprit(
                kind="rule",
                netns=NODE,
                hook="INPUT",
                device="veth-pod",
                backend=LEGACY,
                family="ip",
                table="filter",
                chain="guard",
                position=3,
                rule="-A guard -j DROP",
                verdict="drop",
                owner="calico",
            ),
        )

    def test_a_reply_by_a_rule_of_the_backend_that_ran_first(self):
        hooks = (function("INPUT", 1, 0, LEGACY, "filter"), function("INPUT", 2, 0, NFT, "filter"))
        verdict = self.reply_lost(replace(self.DROPPED, leg="reply"), hooks=hooks)
        assert verdict.summary.endswith(
            "rule 3: -A guard -j DROP. iptables-legacy ran first at this priority: iptables-nft did not see the packet "
            "there."
        )

    def test_a_request_by_a_policy(self):
        events = [
            sent(0),
            hook(10, NODE, "FORWARD", came="veth1", goes="veth2"),
            freed(20, function="nft_do_chain+0x5ad"),
            rule(900, NFT, "filter", "FORWARD", "drop", hook="FORWARD"),
        ]
        verdict = verdict_on(events)
        assert verdict.summary == (
            "Request lost: the request from node to netns:pod was dropped in node at FORWARD by iptables-nft, table "
            "filter, chain FORWARD, by the chain's policy: -P FORWARD DROP."
        )
        assert verdict.culprit == Culprit(
            kind="policy",
            netns=NODE,
            hook="FORWARD",
            device="veth1",
            backend=NFT,
            family="ip",
            table="filter",
            chain="FORWARD",
            rule="-P FORWARD DROP",
            verdict="drop",
            owner="unknown",
        )

    def test_although_its_freeing_was_not_seen(self):
        said = [rule(901, LEGACY, "filter", "guard", "drop", position=3, netns=POD)]
        verdict = verdict_on([*REQUEST, *said], INPUT_HOOKS)
        assert (verdict.outcome, verdict.confidence, verdict.basis) == ("request_lost", "observed", "")
        assert verdict_on([*REQUEST, *said], INPUT_HOOKS, lost=3) == verdict

    def test_by_a_rule_that_has_only_a_handle(self):
        said = rule(901, NATIVE, "own", "in", "drop", handle=3, family="inet", rule="drop")
        verdict = verdict_on([sent(0), hook(20, NODE, "INPUT"), freed(30), said])
        assert (verdict.culprit.kind, verdict.culprit.handle) == ("rule", 3)

    def test_by_the_last_that_dropped_it(self):
        said = [
            rule(901, LEGACY, "filter", "FORWARD", "drop", hook="FORWARD", position=1),
            rule(902, LEGACY, "filter", "INPUT", "drop", position=2),
        ]
        events = [sent(0), hook(10, NODE, "FORWARD"), hook(20, NODE, "INPUT"), freed(30), *said]
        assert verdict_on(events).culprit.position == 2
        twice = [replace(said[1], position=3), said[1]]
        assert verdict_on([*events[:4], *twice]).culprit.position == 2


class TestEliminated:
    """In netfilter, and no rule said so."""

    PASSED = (sent(0), hook(10, NODE, "INPUT", ENTRY, came="eth0"), hook(20, NODE, "INPUT", -149, came="eth0"))

    def test_one_is_left(self):
        said = rule(900, NFT, "filter", "INPUT", "accept")
        assert verdict_on([*self.PASSED, freed(30), said], INPUT_HOOKS) == Verdict(
            "request_lost",
            "request",
            "Request lost: the request from node to netns:pod was dropped in node at INPUT by iptables-legacy, table "
            "filter, chain INPUT: all else there let it pass, and no rule said that it dropped it.",
            "inferred",
            kernel(
                hook="INPUT",
                device="eth0",
                backend=LEGACY,
                family="ip",
                table="filter",
                chain="INPUT",
                function="ipt_do_table",
                reason="SKB_DROP_REASON_NETFILTER_DROP",
            ),
            "it passed priority -149 of INPUT and was freed before priority 1; no rule reported a drop",
        )

    def test_several_are_left(self):
        verdict = verdict_on([*self.PASSED, freed(30)], INPUT_HOOKS)
        assert verdict.summary.endswith(
            "at INPUT by one of these, none of which said so: iptables-nft, table filter, chain INPUT, "
            "iptables-legacy, table filter, chain INPUT."
        )
        assert verdict.confidence == "inferred"
        assert (verdict.culprit.backend, verdict.culprit.function) == (None, "nf_hook_slow+0x7d")

    def test_nobody_is_left(self):
        verdict = verdict_on([*self.PASSED[:2], freed(30)])
        assert "was dropped in node at INPUT by something that tracer does not know of." in verdict.summary
        assert verdict.basis.startswith("it passed priority -451 of INPUT and was freed before the hook's end")

    def test_behind_the_last_link(self):
        hooks = (*INPUT_HOOKS, function("INPUT", 4, 2**31 - 1))
        verdict = verdict_on([*self.PASSED, hook(25, NODE, "INPUT", 1), freed(30)], hooks)
        assert "at INPUT by nf_confirm: all else there let it pass" in verdict.summary

    def test_no_hook_was_seen(self):
        verdict = verdict_on([sent(0), device(10, NODE, "eth0", "egress"), freed(30)])
        assert "was dropped in node in a netfilter hook that is not watched." in verdict.summary
        assert (verdict.confidence, verdict.basis) == (
            "inferred",
            "nf_hook_slow freed it, and no rule reported a drop",
        )
        assert verdict.culprit == kernel(
            device="eth0", function="nf_hook_slow+0x7d", reason="SKB_DROP_REASON_NETFILTER_DROP"
        )

    def test_between_a_device_and_the_first_hook(self):
        verdict = verdict_on([sent(0), device(10, NODE, "eth0", "ingress"), freed(30)])
        assert verdict.summary.endswith(
            "was dropped in node between the ingress of eth0 and PREROUTING, where chains of ingress hooks stand."
        )
        assert verdict.confidence == "inferred"

    def test_behind_the_last_hook_an_egress_chain_may_have_done_it(self):
        hooks = (function("POSTROUTING", 1, 0, LEGACY, "mangle"),)
        passed = [sent(0), hook(10, NODE, "POSTROUTING", ENTRY), hook(20, NODE, "POSTROUTING", 1)]
        assert (
            "at POSTROUTING by a chain of an egress hook: all else" in verdict_on([*passed, freed(30)], hooks).summary
        )
        verdict = verdict_on([*passed[:2], freed(30)], hooks)
        assert (verdict.culprit.backend, verdict.culprit.chain) == (LEGACY, "POSTROUTING")

    def test_lost_events_count_against_it(self):
        verdict = verdict_on([*self.PASSED, freed(30)], INPUT_HOOKS, lost=3)
        assert verdict.basis.endswith("; no rule reported a drop; events lost: 3")


class TestDroppedByTheKernel:
    def test_with_its_reason(self):
        events = [*REQUEST[:5], hook(50, POD, "PREROUTING", came="eth0")]
        events.append(freed(60, POD, "ip_rcv_finish_core+0x25b", "SKB_DROP_REASON_IP_RPFILTER"))
        assert verdict_on(events) == Verdict(
            "request_lost",
            "request",
            "Request lost: the request from node to netns:pod was dropped in netns:pod by the kernel, not by a rule: "
            "ip_rcv_finish_core (IP_RPFILTER).",
            "observed",
            kernel(
                POD,
                hook="PREROUTING",
                device="eth0",
                function="ip_rcv_finish_core+0x25b",
                reason="SKB_DROP_REASON_IP_RPFILTER",
            ),
        )

    def test_without_a_reason(self):
        """Linux 5.10 gives none."""
        verdict = verdict_on([*REQUEST[:2], freed(60, NODE, "ip_error+0x94", "")])
        assert verdict.summary.endswith("by the kernel, not by a rule: ip_error (no reason given).")
        assert verdict.culprit.reason is None

    def test_before_any_hook(self):
        events = [
            sent(0),
            device(10, NODE, "eth0", "ingress"),
            freed(20, NODE, "ip_rcv_core+0x1", "SKB_DROP_REASON_IP_CSUM"),
        ]
        verdict = verdict_on(events)
        assert (verdict.outcome, verdict.culprit.hook, verdict.culprit.device) == ("request_lost", None, "eth0")
        assert verdict_on([events[2]]).culprit.device is None

    def test_by_its_last_device(self):
        events = [hook(10, NODE, "FORWARD", came="in"), device(20, NODE, "out", "egress")]
        assert verdict_on([*events, freed(30, NODE, "sch_drop+0x1", "")]).culprit.device == "out"

    def test_in_a_namespace_that_nobody_watches(self):
        """Hooks and devices that were passed elsewhere are none of its."""
        behind = "netns:[4026532525]"
        verdict = verdict_on([*REQUEST[:4], freed(60, behind, "ip_error+0x94", "SKB_DROP_REASON_IP_INADDRERRORS")])
        assert f"was dropped in {behind} by the kernel, not by a rule: ip_error (IP_INADDRERRORS)." in verdict.summary
        assert (verdict.culprit.netns, verdict.culprit.hook, verdict.culprit.device) == (behind, None, None)

    def test_a_copy_for_another_hardware_address_is_not_the_end(self):
        copies = [
            freed(at, netns, "ip_rcv_core+0x1", "SKB_DROP_REASON_OTHERHOST")
            for at, netns in ((41, "netns:a"), (65, "netns:b"))
        ]
        flooded = device(66, "netns:b", "eth0", "ingress")
        assert verdict_on([*REQUEST, *copies, flooded]) == verdict_on(REQUEST)
        events = [
            *REQUEST[:5],
            copies[0],
            freed(50, POD, "ip_rcv_finish_core+0x1", "SKB_DROP_REASON_IP_RPFILTER"),
            copies[1],
        ]
        assert verdict_on(events).culprit.reason == "SKB_DROP_REASON_IP_RPFILTER"

    def test_what_arrived_and_was_not_taken_has_no_reply(self):
        verdict = verdict_on([*REQUEST, freed(70, POD, "udp_queue_rcv_one_skb+0x1", "SKB_DROP_REASON_SOCKET_FILTER")])
        assert (verdict.outcome, verdict.confidence) == ("no_reply", "observed")
        assert verdict.summary == (
            "No reply: the request from node to netns:pod arrived in netns:pod, passed all filters there, and was not "
            "taken: udp_queue_rcv_one_skb (SOCKET_FILTER)."
        )

    def test_a_reply_that_arrived_and_was_not_taken_is_lost(self):
        events = [*REQUEST, *REPLY, freed(170, NODE, "icmp_rcv+0x1", "SKB_DROP_REASON_NO_SOCKET", leg="reply")]
        assert verdict_on(events).outcome == "reply_lost"


class TestTaken:
    """By a rule that hands packets to programs."""

    HOOKS = (function("INPUT", 1, 0, NFT, "filter"),)
    SAID = rule(900, NFT, "filter", "INPUT", "queue", position=1, rule="-A INPUT -j NFQUEUE")
    SEEN = (sent(0), hook(10, NODE, "INPUT"))

    def test_it_waits_in_the_queue(self):
        verdict = verdict_on([*self.SEEN, self.SAID], self.HOOKS)
        assert verdict.summary == (
            "Request lost: the request from node to netns:pod waits in a queue for a program's verdict, put there in "
            "node at INPUT by iptables-nft, table filter, chain INPUT, rule 1: -A INPUT -j NFQUEUE."
        )
        assert (verdict.culprit.kind, verdict.culprit.verdict, verdict.confidence) == ("rule", "queue", "observed")

    def test_nobody_reads_the_queue(self):
        verdict = verdict_on([*self.SEEN, freed(20, NODE, "nf_queue+0x1", ""), self.SAID], self.HOOKS)
        assert "was put into a queue in node at INPUT by iptables-nft" in verdict.summary
        assert verdict.summary.endswith("; no program took it from there, or one dropped it.")

    def test_it_came_back_from_the_queue(self):
        events = [*self.SEEN, hook(30, NODE, "INPUT", 1), self.SAID]
        assert verdict_on(events, self.HOOKS).outcome == "no_reply"

    def test_it_went_on_to_another_hook(self):
        events = [*self.SEEN, hook(30, POD, "INPUT"), self.SAID]
        assert verdict_on(events).outcome == "no_reply"

    def test_the_kernel_dropped_it_behind_the_queue(self):
        end = freed(30, NODE, "ip_rcv_finish_core+0x1", "SKB_DROP_REASON_IP_RPFILTER")
        assert verdict_on([*self.SEEN, end, self.SAID], self.HOOKS).culprit.kind == "kernel"

    def test_it_was_dropped_elsewhere_behind_the_queue(self):
        dropped = rule(901, NATIVE, "own", "in", "drop", handle=3)
        verdict = verdict_on([*self.SEEN, freed(40), self.SAID, dropped], self.HOOKS)
        assert verdict.culprit.backend == NATIVE

    def test_it_was_stolen(self):
        said = replace(self.SAID, verdict="stolen")
        assert "was taken out of the path in node at INPUT" in verdict_on([*self.SEEN, said], self.HOOKS).summary


class TestSilence:
    """The packet stopped showing, and nothing tells of its end."""

    def test_it_arrived(self):
        basis = "it passed INPUT there, was not dropped, and no answer was sent"
        assert verdict_on(REQUEST) == Verdict(
            "no_reply",
            "request",
            "No reply: the request from node to netns:pod arrived in netns:pod, and nothing answered.",
            "inferred",
            kernel(POD, hook="INPUT", device="eth0"),
            basis,
        )

    def test_it_left_for_where_nobody_watches(self):
        flow = replace(FLOW, destination=Place("192.0.2.7", "", "192.0.2.7", None, None, None))
        verdict = verdict_on(REQUEST[:4], flow=flow)
        assert (
            verdict.summary == "No reply: the request from node to 192.0.2.7 left node by veth-pod, and no answer came."
        )
        assert (verdict.outcome, verdict.basis) == ("no_reply", "nothing behind that device is watched")

    def test_it_did_not_leave_for_where_nobody_watches(self):
        flow = replace(FLOW, destination=Place("192.0.2.7", "", "192.0.2.7", None, None, None))
        verdict = verdict_on([sent(0), hook(10, NODE, "FORWARD")], flow=flow)
        assert (verdict.outcome, verdict.culprit.hook) == ("request_lost", "FORWARD")

    def test_a_reply_that_left_and_did_not_come(self):
        flow = replace(FLOW, destination=Place("192.0.2.7", "", "192.0.2.7", None, None, None))
        assert verdict_on([*REQUEST, *REPLY[:3]], flow=flow).outcome == "reply_lost"

    def test_it_left_and_did_not_come_to_a_watched_destination(self):
        verdict = verdict_on(REQUEST[:4])
        assert verdict.summary == (
            "Request lost: the request from node to netns:pod was last seen in node at egress veth-pod, and nothing "
            "said where it went."
        )
        assert (verdict.outcome, verdict.confidence, verdict.basis) == (
            "request_lost",
            "inferred",
            "its freeing was not seen",
        )
        assert verdict.culprit == kernel(device="veth-pod")

    def test_it_waits_for_its_next_hop(self):
        verdict = verdict_on(REQUEST[:3])
        assert verdict.summary.endswith("was to leave node by veth-pod, and did not in that time.")
        assert verdict.outcome == "request_lost"

    def test_a_reply_that_arrived_was_not_received(self):
        verdict = verdict_on([*REQUEST, *REPLY])
        assert (verdict.outcome, verdict.leg, verdict.confidence) == ("reply_lost", "reply", "inferred")
        assert "was last seen in node at INPUT veth-pod" in verdict.summary
        copy = freed(160, POD, "ip_rcv_core+0x1", "SKB_DROP_REASON_OTHERHOST", leg="reply")
        assert verdict_on([*REQUEST, *REPLY, copy]) == verdict

    def test_it_was_seen_at_its_socket_only(self):
        assert "was last seen in node at socket, and nothing said where it went" in verdict_on([sent(0)]).summary

    def test_it_was_not_seen_at_all(self):
        verdict = verdict_on([])
        assert verdict.summary == "Request lost: the request from node to netns:pod was not seen at all."
        assert (verdict.confidence, verdict.basis) == ("inferred", "no event speaks of it")

    def test_lost_events_count_against_it(self):
        assert verdict_on(REQUEST[:4], lost=1).basis == "its freeing was not seen; events lost: 1"

    def test_lost_events_do_not_count_against_what_was_seen(self):
        assert verdict_on(DELIVERED, lost=7) == verdict_on(DELIVERED)
