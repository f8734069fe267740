"""Flows of a pod through its node: dropped by a policy, rejected by nftables, translated to a service's endpoint."""

from __future__ import annotations

from msgspec.structs import replace

from documents.parts import CALI, LEGACY, NATIVE, NFT, POD, POD_END, WEB, WEB_END, hop, matched, policy
from documents.pings import HEALTHY, NF_DROP, SPLIT
from tracer.document import Addresses, Culprit, Decision, Flow, LegTrace, Place, Verdict

_TCP = ("192.168.86.66:41022", "192.168.86.67:8080")


def _forwarded(*last):
    return LegTrace(
        "request",
        (
            hop(0, WEB, "socket", None, _TCP, detail="sent"),
            hop(9, WEB, "egress", "eth0", _TCP),
            hop(11, "node", "ingress", "caliweb", _TCP),
            *last,
        ),
    )


POLICY_DROP = replace(
    SPLIT,
    flow=Flow("tcp", "", WEB_END, replace(POD_END, port=8080)),
    legs=(
        _forwarded(
            hop(
                15,
                "node",
                "FORWARD",
                "caliweb",
                _TCP,
                (
                    matched(NFT, "filter", 2, "-A FORWARD -i caliweb -j ACCEPT", "accept"),
                    policy(LEGACY, "filter", "FORWARD", "drop"),
                ),
            ),
            hop(19, "node", "freed", None, _TCP, detail=NF_DROP),
        ),
    ),
    verdict=Verdict(
        "request_lost",
        "request",
        "Request lost: the request from netns:web to netns:new-pod was dropped in node at FORWARD by "
        "iptables-legacy, table filter, chain FORWARD, by the chain's policy: -P FORWARD DROP. "
        "iptables-nft ran first at this hook and accepted it.",
        "observed",
        Culprit(
            "policy",
            "node",
            "FORWARD",
            "caliweb",
            LEGACY,
            "ip",
            "filter",
            "FORWARD",
            rule="-P FORWARD DROP",
            verdict="drop",
            owner="unknown",
        ),
    ),
    findings=(),
)

_REJECT = 'tcp dport 8080 counter packets 3 bytes 180 log prefix "fw: " reject with icmp type admin-prohibited'
REJECTED = replace(
    POLICY_DROP,
    legs=(
        _forwarded(
            hop(
                15,
                "node",
                "FORWARD",
                "caliweb",
                _TCP,
                (
                    policy(NATIVE, "lockdown", "early", family="inet"),
                    Decision(NATIVE, "inet", "lockdown", "forward", 3, 17, _REJECT, "drop", "unknown"),
                ),
            ),
        ),
    ),
    verdict=Verdict(
        "rejected",
        "request",
        "Rejected: the request from netns:web to netns:new-pod was answered with an ICMP error by 192.168.86.1, by "
        f"nftables, table lockdown, chain forward, rule 3: {_REJECT}.",
        "observed",
        Culprit(
            "rule",
            "node",
            "FORWARD",
            "caliweb",
            NATIVE,
            "inet",
            "lockdown",
            "forward",
            3,
            17,
            _REJECT,
            "drop",
            "unknown",
        ),
    ),
)

_CLIENT, _SERVICE, _ENDPOINT = "192.168.86.66:40210", "10.96.0.10:53", "192.168.86.67:53"
_DNAT = (
    '-A KUBE-SEP-ZP3FB6NMPNCO4VBJ -p udp -m comment --comment "kube-system/kube-dns:dns" -m udp '
    "-j DNAT --to-destination 192.168.86.67:53"
)
_KUBE_SERVICES = tuple(
    matched(NFT, "nat", *rule, "kube-proxy")
    for rule in (
        (2, "-A PREROUTING -j KUBE-SERVICES", "jump KUBE-SERVICES"),
        (4, "-A KUBE-SERVICES -d 10.96.0.10/32 -j KUBE-SVC-TCOU7JCQXEZGVUNU", "jump KUBE-SVC-TCOU7JCQXEZGVUNU"),
        (2, "-A KUBE-SVC-TCOU7JCQXEZGVUNU -j KUBE-SEP-ZP3FB6NMPNCO4VBJ", "jump KUBE-SEP-ZP3FB6NMPNCO4VBJ"),
        (2, _DNAT, "accept"),
    )
)
SERVICE = replace(
    HEALTHY,
    flow=Flow("dns", "77", replace(WEB_END, port=40210), Place("10.96.0.10", "", "10.96.0.10", 53, None, None)),
    legs=(
        LegTrace(
            "request",
            (
                hop(0, WEB, "socket", None, (_CLIENT, _SERVICE), detail="sent"),
                hop(9, WEB, "egress", "eth0", (_CLIENT, _SERVICE)),
                hop(11, "node", "ingress", "caliweb", (_CLIENT, _SERVICE)),
                hop(
                    15,
                    "node",
                    "PREROUTING",
                    "caliweb",
                    (_CLIENT, _ENDPOINT),
                    (policy(NFT, "raw", "PREROUTING"), policy(NFT, "mangle", "PREROUTING"), *_KUBE_SERVICES),
                    translated_from=Addresses(_CLIENT, _SERVICE),
                ),
                hop(1015, "node", "egress", CALI, (_CLIENT, _ENDPOINT)),
                hop(1019, POD, "ingress", "eth0", (_CLIENT, _ENDPOINT)),
            ),
        ),
        LegTrace(
            "reply",
            (
                hop(1100, POD, "egress", "eth0", (_ENDPOINT, _CLIENT)),
                hop(1104, "node", "ingress", CALI, (_ENDPOINT, _CLIENT)),
                hop(1119, "node", "egress", "caliweb", (_SERVICE, _CLIENT)),
                hop(2_001_125, WEB, "socket", None, (_SERVICE, _CLIENT), detail="received"),
            ),
        ),
    ),
)
