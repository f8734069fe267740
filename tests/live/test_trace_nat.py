"""Services and masquerading on both legs: the hook that changes addresses shows them before and after."""

from __future__ import annotations

import contextlib
import socket
import threading

import pytest
from trace_lab import (
    CLIENT,
    NODE_TO_CLIENT,
    NODE_TO_SERVER,
    PORTS,
    SERVER,
    assert_in_order,
    decisions,
    hop,
    hops,
    load,
    path,
    places,
    set_sysctl,
    transport,
)

from tracer.netns import run_in
from tracer.scenario.backends import load_rules

SERVICE = {4: "10.96.0.10", 6: "fd96::10"}
PODS = {4: "10.1.0.0/24", 6: "fd01::/64"}
SLOW = 5003


def dnat_rule(chain, protocol, family, to=SERVER, port=None):
    port = port or PORTS.get(protocol)
    target = f"[{to[family]}]" if family == 6 and port else to[family]
    match = f"-p {transport(protocol, family)}" + (f" --dport {port}" if port else "")
    return f"-A {chain} -d {SERVICE[family]} {match} -j DNAT --to-destination {target}{f':{port}' if port else ''}"


def masquerade_rule(family):
    return f"-A POSTROUTING -s {PODS[family]} -j MASQUERADE --random-fully"


def ends(hop):
    return hop.address_from, hop.address_to


def before(hop):
    return (hop.translated_from.address_from, hop.translated_from.address_to) if hop.translated_from else None


def text(address, port):
    if port is None:
        return address
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def behind_a_service(places):
    """Return what is seen of these places: of the devices of the pods that a service may lead to, the node's ends."""
    return [place for place in places if place not in ("server ingress", "server egress")]


def assert_translated(document, leg, place, came, left):
    """Fail unless the packet came to the hop with the ends `came`, and left it with the ends `left`."""
    assert (before(hop(document, leg, place)), ends(hop(document, leg, place))) == (came, left)


@pytest.mark.parametrize(
    "protocol, family, backend",
    [
        ("udp", 4, "iptables-legacy"),
        ("tcp", 4, "iptables-nft"),
        ("dns", 4, "iptables-legacy"),
        ("icmp", 4, "iptables-nft"),
        ("udp", 6, "iptables-nft"),
        ("tcp", 6, "iptables-legacy"),
        ("dns", 6, "iptables-nft"),
        ("icmp", 6, "iptables-legacy"),
    ],
)
def test_a_service_behind_masquerading(trace, traced_lab, protocol, family, backend):
    rules = dnat_rule("PREROUTING", protocol, family), masquerade_rule(family)
    load(traced_lab.node, backend, *rules, table="nat", family=family)
    document = trace("client", SERVICE[family], protocol, family=family)
    assert (document.verdict.outcome, document.verdict.confidence) == ("delivered", "observed"), document.verdict
    assert places(document, "request") == ["client socket", *behind_a_service(path("client", "server"))]
    assert places(document, "reply") == [*behind_a_service(path("server", "client")), "client socket"]
    port, mine = PORTS.get(protocol), document.flow.source.port
    client, service, server = text(CLIENT[family], mine), text(SERVICE[family], port), text(SERVER[family], port)
    masked = hop(document, "request", "server INPUT").address_from
    assert masked.removeprefix("[").startswith(NODE_TO_SERVER[family])
    assert masked != text(NODE_TO_SERVER[family], mine) or protocol == "icmp", "--random-fully"
    assert_translated(document, "request", "node PREROUTING", (client, service), (client, server))
    assert_translated(document, "request", "node POSTROUTING", (client, server), (masked, server))
    assert_translated(document, "reply", "node PREROUTING", (server, masked), (server, client))
    assert_translated(document, "reply", "node POSTROUTING", (server, client), (service, client))
    translating = {("request", "node PREROUTING"), ("request", "node POSTROUTING")}
    translating |= {("reply", "node PREROUTING"), ("reply", "node POSTROUTING")}
    changed = {
        (leg, place)
        for leg in ("request", "reply")
        for place in places(document, leg)
        if before(hop(document, leg, place))
    }
    assert changed == translating
    assert ends(hops(document, "reply")[-1]) == (service, client)
    (dnat,) = decisions(document, "request", "node PREROUTING")
    (masquerade,) = decisions(document, "request", "node POSTROUTING")
    assert (dnat[:2], dnat[3], "-j DNAT" in dnat[2]) == ((backend, "nat"), "accept", True)
    assert (masquerade[:2], masquerade[3], "--random-fully" in masquerade[2]) == ((backend, "nat"), "accept", True)


def test_a_service_in_a_native_table(trace, traced_lab):
    _load_nft_nat(traced_lab.node)
    document = trace("client", SERVICE[4], "udp")
    assert document.verdict.outcome == "delivered"
    mine = document.flow.source.port
    client, service, server = f"{CLIENT[4]}:{mine}", f"{SERVICE[4]}:5000", f"{SERVER[4]}:5000"
    assert_translated(document, "request", "node PREROUTING", (client, service), (client, server))
    assert decisions(document, "request", "node PREROUTING") == [
        ("nftables", "services", f"ip daddr {SERVICE[4]} udp dport 5000 dnat to {SERVER[4]}:5000", "accept")
    ]
    assert_translated(document, "reply", "node POSTROUTING", (server, client), (service, client))


@pytest.mark.parametrize("first, last", [("iptables-legacy", "iptables-nft"), ("iptables-nft", "iptables-legacy")])
def test_of_two_backends_the_one_that_was_registered_last_translates(trace, traced_lab, first, last):
    """Both have one priority, where the younger runs first (net/netfilter/core.c, nf_hook_entries_grow)."""
    load(traced_lab.node, first, dnat_rule("PREROUTING", "udp", 4), table="nat")
    load(traced_lab.node, last, dnat_rule("PREROUTING", "udp", 4, NODE_TO_CLIENT), table="nat")
    document = trace("client", SERVICE[4], "udp")
    assert document.verdict.outcome == "delivered"
    assert_in_order(path("client", "node"), places(document, "request"))
    assert hop(document, "request", "node PREROUTING").address_to == f"{NODE_TO_CLIENT[4]}:5000"
    ((backend, _, rule, verdict),) = decisions(document, "request", "node PREROUTING")
    assert (backend, verdict) == (last, "accept")
    assert f"--to-destination {NODE_TO_CLIENT[4]}:5000" in rule
    nested = [entry.backend for entry in document.hooks if (entry.hook, entry.table) == ("PREROUTING", "nat")]
    assert nested == [last, first]


def test_the_node_itself_calls_a_service(trace, traced_lab):
    load(traced_lab.node, "iptables-nft", dnat_rule("OUTPUT", "dns", 4), table="nat")
    document = trace("node", SERVICE[4], "dns")
    assert document.verdict.outcome == "delivered"
    node = hop(document, "request", "node OUTPUT").address_from
    service, server = f"{SERVICE[4]}:53", f"{SERVER[4]}:53"
    assert_translated(document, "request", "node OUTPUT", (node, service), (node, server))
    assert_translated(document, "reply", "node INPUT", (server, node), (service, node))
    assert_in_order(behind_a_service(path("node", "server")), places(document, "request"))


@pytest.mark.parametrize("family", [4, 6])
def test_hairpin(trace, traced_lab, family):
    """A pod calls a service that leads back to itself, and answers itself."""
    rules = dnat_rule("PREROUTING", "udp", family, CLIENT), masquerade_rule(family)
    load(traced_lab.node, "iptables-legacy", *rules, table="nat", family=family)
    document = trace("client", SERVICE[family], "udp", family=family)
    assert document.verdict.outcome == "delivered", document.verdict
    node = ["node ingress", "node PREROUTING", "node FORWARD", "node POSTROUTING", "node egress"]
    pod_out, pod_in = path("client", "node")[:3], path("node", "client")[3:]
    assert places(document, "request") == ["client socket", *pod_out, *node, *pod_in]
    assert places(document, "reply") == [*pod_out, *node, *pod_in, "client socket"]
    assert hop(document, "request", "client INPUT").address_to == text(CLIENT[family], 5000)
    assert hop(document, "reply", "client INPUT").address_from == text(SERVICE[family], 5000)


@contextlib.contextmanager
def answering_after(netns, port, may_answer):
    """Answer one datagram at `port` once `may_answer` is set."""

    def bound():
        opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        opened.settimeout(10)
        opened.bind(("", port))
        return opened

    def serve():
        message, sender = opened.recvfrom(2048)
        received.set()
        assert may_answer.wait(10)
        opened.sendto(message, sender)

    received = threading.Event()
    with run_in(netns, bound) as opened:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield received
        finally:
            thread.join()


def test_a_redirect_is_not_the_answer(trace, traced_lab):
    """A node tells the pod behind the same device of the shorter way; the answer to the request comes later."""
    for name in ("all", "veth1"):
        set_sysctl(traced_lab.node, f"net.ipv4.conf.{name}.send_redirects", 1)
    rules = dnat_rule("PREROUTING", "udp", 4, CLIENT, SLOW), masquerade_rule(4)
    load(traced_lab.node, "iptables-nft", *rules, table="nat")
    may_answer = threading.Event()
    with answering_after(traced_lab.client, SLOW, may_answer) as received:
        timer = threading.Thread(target=_allow_later, args=(received, may_answer))
        timer.start()
        try:
            document = trace("client", SERVICE[4], "udp", port=SLOW)
        finally:
            timer.join()
    assert document.verdict.outcome == "delivered", document.verdict
    assert "node OUTPUT" not in places(document, "reply")


def test_the_reply_is_lost_behind_its_translation(trace, traced_lab):
    """FORWARD sees the reply with the pods' own addresses; the rule that drops it says so."""
    rules = dnat_rule("PREROUTING", "udp", 4), masquerade_rule(4)
    load(traced_lab.node, "iptables-nft", *rules, table="nat")
    load(traced_lab.node, "iptables-legacy", f"-A FORWARD -s {SERVER[4]} -d {CLIENT[4]} -j DROP")
    document = trace("client", SERVICE[4], "udp")
    verdict, culprit = document.verdict, document.verdict.culprit
    assert (verdict.outcome, culprit.backend, culprit.hook) == ("reply_lost", "iptables-legacy", "FORWARD")
    assert ends(hop(document, "reply", "node FORWARD")) == (
        f"{SERVER[4]}:5000",
        f"{CLIENT[4]}:{document.flow.source.port}",
    )
    assert before(hop(document, "reply", "node PREROUTING")) is not None
    assert places(document, "reply")[-1] == "node freed"


def _allow_later(received, may_answer):
    """Let the answer go when a redirect would long have been taken for it."""
    received.wait(10)
    threading.Event().wait(0.05)
    may_answer.set()


def _load_nft_nat(node):
    service = f"ip daddr {SERVICE[4]} udp dport 5000 dnat to {SERVER[4]}:5000"
    chains = (
        f"chain pre {{ type nat hook prerouting priority dstnat;\n{service}\n}}",
        f"chain post {{ type nat hook postrouting priority srcnat;\nip saddr {PODS[4]} masquerade fully-random\n}}",
    )
    load_rules(node, ("nftables", "ip"), "table ip services {\n" + "\n".join(chains) + "\n}\n", "the test")
