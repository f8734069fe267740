"""Pings from a node to its pod: delivered, and lost in each of the ways that a reply or request can be."""

from __future__ import annotations

from msgspec.structs import replace

from documents import calico
from documents.parts import (
    CALI,
    CAPTURE,
    HOST,
    LEGACY,
    NFT,
    NODE_END,
    PACKET,
    POD,
    POD_END,
    SENT_AT,
    hop,
    interleaved,
    policy,
)
from tracer.document import Culprit, Finding, Flow, HookFunction, LegTrace, RulesetSummary, TraceDocument, Verdict
from tracer.events import DeviceEvent, FreedEvent, HookEvent, RuleEvent, SocketEvent

BACK = ("192.168.86.67", "10.86.0.1")
NF_DROP = "nf_hook_slow+0x7d SKB_DROP_REASON_NETFILTER_DROP"


def _hook(name, order, priority, function, backend=None, table=None):
    return HookFunction("node", "ipv4", name, order, priority, function, backend, table, name if backend else None)


HOOKS = (
    _hook("PREROUTING", 1, -400, "ipv4_conntrack_defrag"),
    _hook("PREROUTING", 2, -300, "nft_do_chain_ipv4", NFT, "raw"),
    _hook("PREROUTING", 3, -300, "ipt_do_table", LEGACY, "raw"),
    _hook("PREROUTING", 4, -200, "ipv4_conntrack_in"),
    _hook("PREROUTING", 5, -150, "nft_do_chain_ipv4", NFT, "mangle"),
    _hook("PREROUTING", 6, -150, "ipt_do_table", LEGACY, "mangle"),
    _hook("INPUT", 1, -150, "nft_do_chain_ipv4", NFT, "mangle"),
    _hook("INPUT", 2, 0, "nft_do_chain_ipv4", NFT, "filter"),
    _hook("INPUT", 3, 0, "ipt_do_table", LEGACY, "filter"),
    _hook("INPUT", 4, 2147483647, "nf_confirm"),
)


def _request(output, postrouting):
    return LegTrace(
        "request",
        (
            hop(0, "node", "socket", detail="sent"),
            hop(18.4, "node", "OUTPUT", CALI, decisions=output),
            hop(31, "node", "POSTROUTING", CALI, decisions=postrouting),
            hop(36.2, "node", "egress", CALI),
            hop(38.9, POD, "ingress", "eth0"),
            hop(41.3, POD, "PREROUTING", "eth0"),
            hop(44.8, POD, "INPUT", "eth0"),
        ),
    )


def _reply(*last):
    return LegTrace(
        "reply",
        (
            hop(52.7, POD, "OUTPUT", "eth0", BACK),
            hop(55.1, POD, "POSTROUTING", "eth0", BACK),
            hop(58.4, POD, "egress", "eth0", BACK),
            hop(60.2, "node", "ingress", CALI, BACK),
            *last,
        ),
    )


ARRIVED = _request(calico.output(NFT), calico.postrouting(NFT))
ARRIVED_BY_BOTH = _request(
    interleaved(calico.output(NFT), calico.output(LEGACY)),
    interleaved(calico.postrouting(NFT), calico.postrouting(LEGACY)),
)
_NFT_PREROUTING = (*calico.raw_prerouting(NFT), *calico.mangle_prerouting(NFT))
_LEGACY_PREROUTING = (*calico.raw_prerouting(LEGACY), *calico.mangle_prerouting(LEGACY))
_NFT_INPUT = (policy(NFT, "mangle", "INPUT"), *calico.filter_input_known(NFT))

HEALTHY = TraceDocument(
    flow=Flow("icmp", "5e1f0c77a9d24b3e8f60b1d2c3a49587", NODE_END, POD_END),
    host=HOST,
    capture=CAPTURE,
    hooks=HOOKS[:2],
    rulesets=(RulesetSummary("node", NFT, "ip", "filter", 31, 74, ("calico", "kube-proxy")),),
    events=(
        SocketEvent(SENT_AT, "node", "request", "sent", PACKET),
        HookEvent(SENT_AT + 18_400, "node", "request", "0xffff8c1", "OUTPUT", -451, "", CALI, 0, PACKET),
        DeviceEvent(SENT_AT + 36_200, "node", "request", "0xffff8c1", CALI, "egress", 0x10000, PACKET),
        RuleEvent(SENT_AT + 90_000, "node", "request", NFT, "ip", "OUTPUT", "raw", "OUTPUT", "policy", "accept"),
    ),
    legs=(
        ARRIVED,
        _reply(
            hop(63, "node", "PREROUTING", CALI, BACK, _NFT_PREROUTING),
            hop(81.5, "node", "INPUT", CALI, BACK, _NFT_INPUT),
            hop(112, "node", "socket", None, BACK, detail="received"),
        ),
    ),
    verdict=Verdict(
        "delivered",
        "reply",
        "Delivered: the icmp probe went from node to netns:new-pod and its reply came back, 0.11 ms in all.",
        "observed",
        None,
    ),
    findings=(),
)

SPLIT = replace(
    HEALTHY,
    hooks=HOOKS,
    rulesets=(*HEALTHY.rulesets, RulesetSummary("node", LEGACY, "ip", "filter", 22, 51, ("calico",))),
    events=(
        *HEALTHY.events,
        FreedEvent(SENT_AT + 98_300, "node", "reply", "0xffff8c2", *NF_DROP.split(), 0, PACKET),
    ),
    legs=(
        ARRIVED_BY_BOTH,
        _reply(
            hop(63, "node", "PREROUTING", CALI, BACK, interleaved(_NFT_PREROUTING, _LEGACY_PREROUTING)),
            hop(81.5, "node", "INPUT", CALI, BACK, (*_NFT_INPUT, *calico.filter_input_unknown(LEGACY))),
            hop(98.3, "node", "freed", None, BACK, detail=NF_DROP),
        ),
    ),
    verdict=Verdict(
        "reply_lost",
        "reply",
        "Reply lost: the reply from netns:new-pod to node was dropped in node at INPUT by iptables-legacy, table "
        f"filter, chain cali-from-wl-dispatch, rule 2: {calico.UNKNOWN_INTERFACE}. iptables-nft ran first at this "
        "hook and accepted it.",
        "observed",
        Culprit(
            kind="rule",
            netns="node",
            hook="INPUT",
            device=CALI,
            backend=LEGACY,
            family="ip",
            table="filter",
            chain="cali-from-wl-dispatch",
            position=2,
            rule=calico.UNKNOWN_INTERFACE,
            verdict="drop",
            owner="calico",
        ),
    ),
    findings=(
        Finding(
            "stale-rules",
            "critical",
            "calico has rules in two backends, and the packet died in iptables-legacy",
            (
                "iptables-legacy holds 51 rules in tables with rules of calico, iptables-nft holds 74: both are asked "
                "about every packet, and a drop by either is final.",
            ),
            (
                "Take calico's rules out of iptables-legacy, and nobody else's:",
                "$ iptables-legacy-save | grep -v cali | iptables-legacy-restore --table filter --counters --verbose",
            ),
        ),
    ),
)

KERNEL_DROP = replace(
    HEALTHY,
    legs=(
        ARRIVED,
        _reply(
            hop(63, "node", "PREROUTING", CALI, BACK),
            hop(64, "node", "freed", None, BACK, detail="__netif_receive_skb_core+0x3 SKB_DROP_REASON_OTHERHOST"),
            hop(70, "node", "freed", None, BACK, detail="ip_rcv_finish_core+0x1a4 SKB_DROP_REASON_IP_RPFILTER"),
            hop(71, "node", "freed", None, BACK, detail="__netif_receive_skb_core+0x3 SKB_DROP_REASON_OTHERHOST"),
        ),
    ),
    verdict=Verdict(
        "reply_lost",
        "reply",
        "Reply lost: the reply from netns:new-pod to node was dropped in node by the kernel, not by a rule: "
        "ip_rcv_finish_core+0x1a4 (IP_RPFILTER).",
        "observed",
        Culprit(
            "kernel",
            "node",
            "PREROUTING",
            CALI,
            function="ip_rcv_finish_core+0x1a4",
            reason="SKB_DROP_REASON_IP_RPFILTER",
        ),
    ),
)

_NO_ANSWER = "it passed INPUT there, was not dropped, and no answer was sent"
NO_REPLY = replace(
    HEALTHY,
    legs=(ARRIVED,),
    verdict=Verdict(
        "no_reply",
        "request",
        "No reply: the request from node to netns:new-pod arrived in netns:new-pod, and nothing answered.",
        "inferred",
        Culprit("kernel", POD, "INPUT", "eth0", reason=_NO_ANSWER),
        _NO_ANSWER,
    ),
)

NOT_SENT = replace(
    HEALTHY,
    events=(SocketEvent(SENT_AT, "node", "request", "refused", PACKET, "Network is unreachable"),),
    legs=(LegTrace("request", (hop(0, "node", "socket", detail="refused Network is unreachable"),)),),
    verdict=Verdict(
        "not_sent",
        "request",
        "Not sent: the kernel refused the probe from node to netns:new-pod in node: Network is unreachable.",
        "observed",
        Culprit("kernel", "node", function="sendto", reason="Network is unreachable"),
    ),
)

ELIMINATED = replace(
    SPLIT,
    capture=replace(CAPTURE, lost=3, notes=("NFLOG group 0 is held by ulogd (pid 812): no legacy rule was heard",)),
    legs=(
        ARRIVED_BY_BOTH,
        _reply(
            hop(81.5, "node", "INPUT", CALI, BACK, _NFT_INPUT),
            hop(98.3, "node", "freed", None, BACK, detail=NF_DROP),
        ),
    ),
    verdict=Verdict(
        "reply_lost",
        "reply",
        "Reply lost: the reply from netns:new-pod to node was dropped in node at INPUT; the one function there that "
        "did not let it pass: iptables-legacy table filter.",
        "inferred",
        Culprit(
            "kernel",
            "node",
            "INPUT",
            CALI,
            LEGACY,
            table="filter",
            chain="INPUT",
            function="ipt_do_table",
            reason="SKB_DROP_REASON_NETFILTER_DROP",
        ),
        "it passed priority -149 of INPUT and was freed before the hook's end; no rule reported a drop",
    ),
)
