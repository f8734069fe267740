"""One mark, and what both backends then say of the probe's packets, in namespaces of the tests' own."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from anonymous_netns import Lab, anonymous, bridged_lab, forwarding_lab, run
from evidence_traffic import (
    NODE,
    SERVER,
    TIMEOUT,
    dns_answer,
    dns_query,
    ping,
    send_datagrams,
    send_echo,
    send_syn,
    send_udp,
    tcp_listener,
    udp_responder,
    unreachables_sent,
)

from tracer.errors import CannotTraceError
from tracer.netfilter.evidence.legacy_trace import LegacyTraceReader, open_legacy_trace
from tracer.netfilter.evidence.mark import Mark, mark_flow
from tracer.netfilter.evidence.messages import LegacyEvidence, NftEvidence
from tracer.netfilter.evidence.nf_log import current_logger, must_change
from tracer.netfilter.evidence.nft_trace import NftTraceReader, open_nft_trace
from tracer.netfilter.evidence.rules import NftPlace, legacy_rule_events, nft_rule_events
from tracer.netfilter.evidence.signature import ProbeMark
from tracer.netfilter.ruleset import HOOKS
from tracer.netns import Netns, run_in

PORT = 5300
THROUGH = ["PREROUTING", "FORWARD", "POSTROUTING"]
LOCAL_OUT, LOCAL_IN = ["OUTPUT", "POSTROUTING"], ["PREROUTING", "INPUT"]
FAMILIES = pytest.mark.parametrize("family", [4, 6])
TABLE_FAMILY = {4: "ip", 6: "ip6"}
IPTABLES = {4: "iptables", 6: "ip6tables"}


def probe_mark(protocol: str, family: int) -> ProbeMark:
    sequence = int.from_bytes(os.urandom(4), "big") if protocol == "tcp" else None
    return ProbeMark(protocol, family, os.urandom(16), sequence)


@dataclass
class Watch:
    """A marked namespace with both readers, and all that they said."""

    mark: Mark
    readers: tuple[NftTraceReader, LegacyTraceReader]
    nft: list[NftEvidence] = field(default_factory=list)
    legacy: list[LegacyEvidence] = field(default_factory=list)

    def read(self) -> None:
        nft, legacy = self.readers
        self.nft += nft.read()
        self.legacy += legacy.read()

    def wait(self, enough: Callable[[], bool]) -> None:
        """Read until `enough` is true."""
        end = time.monotonic() + TIMEOUT
        while not enough():
            assert time.monotonic() < end, f"only {self.nft} and {self.legacy} came"
            select.select(self.readers, [], [], 0.1)
            self.read()

    def wait_for_reply(self, chain: str = "postrouting") -> None:
        """Read until both backends' rules at the last hook of the reply's way were traced."""
        self.wait(
            lambda: self.nft_chains("reply")[-1:] == [chain] and self.legacy_hooks("reply")[-1:] == [chain.upper()]
        )

    def nft_chains(self, leg: str) -> list[str]:
        """The base chains of the table `watch` whose one rule the leg's packet met; they are named as their hooks."""
        return [
            seen.message.chain
            for seen in self.nft
            if seen.leg == leg and seen.message.table == "watch" and seen.message.handle is not None
        ]

    def legacy_hooks(self, leg: str) -> list[str]:
        """The hooks of legacy table mangle whose one rule the leg's packet met."""
        return [
            HOOKS[seen.message.hook]
            for seen in self.legacy
            if seen.leg == leg and (seen.message.table, seen.message.position) == ("mangle", 1)
        ]

    def assert_way(self, leg: str, hooks: list[str]) -> None:
        assert self.nft_chains(leg) == [hook.lower() for hook in hooks]
        assert self.legacy_hooks(leg) == hooks


@contextlib.contextmanager
def watch(netns: Netns, probe: ProbeMark) -> Iterator[Watch]:
    with (
        mark_flow(netns, probe) as mark,
        open_nft_trace(netns, mark) as nft,
        open_legacy_trace(netns, mark) as legacy,
    ):
        yield Watch(mark, (nft, legacy))
        assert (nft.lost, legacy.lost) == (0, 0)


def add_rules_at_every_hook(netns: Netns, family: int) -> None:
    """Put one rule of each backend that everything matches at every hook."""
    chains = "\n".join(
        f"chain {hook.lower()} {{ type filter hook {hook.lower()} priority -140; counter; }}" for hook in HOOKS
    )
    run(netns, "nft", "-f", "-", stdin=f"table {TABLE_FAMILY[family]} watch {{\n{chains}\n}}")
    rules = "\n".join(f"-A {hook} -m comment --comment here" for hook in HOOKS)
    run(netns, f"{IPTABLES[family]}-legacy-restore", stdin=f"*mangle\n{rules}\nCOMMIT\n")


@pytest.fixture
def lab() -> Iterator[Lab]:
    with forwarding_lab() as lab:
        yield lab


def watched(lab: Lab, probe: ProbeMark) -> contextlib.AbstractContextManager[Watch]:
    add_rules_at_every_hook(lab.node, probe.family)
    return watch(lab.node, probe)


@FAMILIES
def test_echo_through_the_node(lab: Lab, family: int):
    probe = probe_mark("icmp", family)
    with watched(lab, probe) as seen:
        assert ping(lab.client, probe, SERVER[family]) == probe.token
        seen.wait_for_reply()
    seen.assert_way("request", THROUGH)
    seen.assert_way("reply", THROUGH)


@FAMILIES
def test_echo_that_ends_in_the_node(lab: Lab, family: int):
    probe = probe_mark("icmp", family)
    with watched(lab, probe) as seen:
        assert ping(lab.client, probe, NODE[family]) == probe.token
        seen.wait_for_reply()
    seen.assert_way("request", LOCAL_IN)
    seen.assert_way("reply", LOCAL_OUT)


@FAMILIES
def test_echo_of_the_node_to_itself(lab: Lab, family: int):
    """Over the loopback device the same skb passes twice, with another trace id."""
    probe = probe_mark("icmp", family)
    with watched(lab, probe) as seen:
        assert ping(lab.node, probe, NODE[family]) == probe.token
        seen.wait_for_reply("input")
    seen.assert_way("request", LOCAL_OUT + LOCAL_IN)
    seen.assert_way("reply", LOCAL_OUT + LOCAL_IN)


@FAMILIES
def test_echo_over_a_bridge_that_calls_iptables(family: int):
    """br_netfilter runs PREROUTING for the bridge; the packet goes on to INPUT with another trace id."""
    probe, through = probe_mark("icmp", family), probe_mark("icmp", family)
    neighbour = {4: "10.1.0.3", 6: "fd01::3"}[family]
    with bridged_lab() as lab:
        with watched(lab, probe) as seen:
            assert ping(lab.client, probe, NODE[family]) == probe.token
            seen.wait_for_reply()
        seen.assert_way("request", LOCAL_IN)
        seen.assert_way("reply", LOCAL_OUT)
        with watch(lab.node, through) as seen:
            assert ping(lab.client, through, neighbour) == through.token
            seen.wait_for_reply()
        seen.assert_way("request", THROUGH)
        seen.assert_way("reply", THROUGH)


@FAMILIES
def test_every_rule_in_order(lab: Lab, family: int):
    """Jumps, gotos, returns, policies and drops of each backend, in the order in which the packet met them."""
    table, iptables = TABLE_FAMILY[family], IPTABLES[family]
    icmp = {4: "icmp", 6: "ipv6-icmp"}[family]
    run(
        lab.node,
        "nft",
        "-f",
        "-",
        stdin=f"""
        table {table} native {{
            chain marks {{ meta mark set 7; return; }}
            chain last {{ counter; }}
            chain there {{ type filter hook forward priority 10; counter; jump marks; goto last; }}
        }}""",
    )
    run(lab.node, f"{iptables}-nft-restore", stdin=f"*filter\n-A FORWARD -p {icmp} -j ACCEPT\nCOMMIT\n")
    run(
        lab.node,
        f"{iptables}-legacy-restore",
        stdin=f"""*raw
        :odd:rule:3:name - [0:0]
        -A PREROUTING -p {icmp} -j odd:rule:3:name
        -A PREROUTING -p udp -j DROP
        -A odd:rule:3:name -j RETURN
        COMMIT
        *filter
        -A FORWARD -s {SERVER[family]} -p {icmp} -j DROP
        COMMIT
        """.replace("        ", ""),
    )
    probe = probe_mark("icmp", family)
    with watch(lab.node, probe) as seen:
        send_echo(lab.client, probe, SERVER[family])
        seen.wait(lambda: [legacy.message.table for legacy in seen.legacy if legacy.leg == "reply"][-1:] == ["filter"])
    assert nft_steps(seen.nft) == [
        ("request", "FORWARD", "filter", "FORWARD", "rule", "accept"),
        ("request", "FORWARD", "native", "there", "rule", "continue"),
        ("request", "FORWARD", "native", "there", "rule", "jump marks"),
        ("request", "FORWARD", "native", "marks", "rule", "continue"),
        ("request", "FORWARD", "native", "marks", "rule", "return"),
        ("request", "FORWARD", "native", "there", "rule", "goto last"),
        ("request", "FORWARD", "native", "last", "rule", "continue"),
        ("request", "FORWARD", "native", "last", "return", "return"),
        ("request", "FORWARD", "native", "there", "policy", "accept"),
    ]  # and the reply never came so far
    raw = [
        ("raw", "PREROUTING", "rule", 1),
        ("raw", "odd:rule:3:name", "return", 1),
        ("raw", "PREROUTING", "policy", 3),
    ]
    assert legacy_steps(seen.legacy) == [
        *(("request", "PREROUTING", *step) for step in raw),
        ("request", "FORWARD", "filter", "FORWARD", "policy", 2),
        *(("reply", "PREROUTING", *step) for step in raw),
        ("reply", "FORWARD", "filter", "FORWARD", "rule", 1),
    ]


def nft_steps(evidence: list[NftEvidence]) -> list[tuple]:
    hooks = {"there": "FORWARD", "FORWARD": "FORWARD"}
    events = nft_rule_events(
        "node", evidence, lambda family, table, chain, handle: NftPlace("nftables", hooks.get(chain, ""))
    )
    return [(event.leg, event.hook, event.table, event.chain, event.step, event.verdict) for event in events]


def legacy_steps(evidence: list[LegacyEvidence]) -> list[tuple]:
    events = legacy_rule_events("node", evidence, lambda family, table, chain, position: None)
    return [(event.leg, event.hook, event.table, event.chain, event.step, event.position) for event in events]


def add_nat(lab: Lab, family: int) -> str:
    """Translate a service's address and port, and hide the client behind the node; return the address."""
    table, server = TABLE_FAMILY[family], SERVER[family]
    service = {4: "10.9.9.9", 6: "fd09::9"}[family]
    backend = f"{server}:{PORT}" if family == 4 else f"[{server}]:{PORT}"
    run(
        lab.node,
        "nft",
        "-f",
        "-",
        stdin=f"""
        table {table} nat {{
            chain prerouting {{
                type nat hook prerouting priority dstnat;
                {table} daddr {service} meta l4proto {{ tcp, udp }} dnat to {backend};
            }}
            chain postrouting {{
                type nat hook postrouting priority srcnat;
                oifname veth2 masquerade fully-random;
            }}
        }}""",
    )
    return service


@FAMILIES
@pytest.mark.parametrize("answer", [lambda data: b"short", lambda data: data], ids=["other", "echoed"])
def test_udp_through_destination_and_source_nat(lab: Lab, family: int, answer: Callable[[bytes], bytes]):
    """The reply is known by where the request went, at each hook as NAT has it there, whatever it carries."""
    probe = probe_mark("udp", family)
    service = add_nat(lab, family)
    with watched(lab, probe) as seen, udp_responder(lab.server, family, PORT, answer):
        payload = probe.token + b"more"
        assert send_udp(lab.client, family, service, 53, payload) == answer(payload)
        seen.wait_for_reply()
    seen.assert_way("request", THROUGH)
    seen.assert_way("reply", THROUGH)


@FAMILIES
def test_udp_between_the_node_and_itself(lab: Lab, family: int):
    probe = probe_mark("udp", family)
    with watched(lab, probe) as seen, udp_responder(lab.node, family, PORT, lambda data: b""):
        assert send_udp(lab.node, family, NODE[family], PORT, probe.token) == b""
        seen.wait_for_reply("input")
    seen.assert_way("request", LOCAL_OUT + LOCAL_IN)
    seen.assert_way("reply", LOCAL_OUT + LOCAL_IN)


@FAMILIES
def test_dns_through_nat(lab: Lab, family: int):
    probe = probe_mark("dns", family)
    service = add_nat(lab, family)
    query = dns_query(probe.token)
    with watched(lab, probe) as seen, udp_responder(lab.server, family, PORT, dns_answer):
        assert send_udp(lab.client, family, service, 53, query) == dns_answer(query)
        seen.wait_for_reply()
    seen.assert_way("request", THROUGH)
    seen.assert_way("reply", THROUGH)


@FAMILIES
@pytest.mark.parametrize("listening", [True, False], ids=["syn-ack", "rst"])
def test_tcp_through_nat(lab: Lab, family: int, listening: bool):
    probe = probe_mark("tcp", family)
    service = add_nat(lab, family)
    listener = tcp_listener(lab.server, family, PORT) if listening else contextlib.nullcontext()
    with watched(lab, probe) as seen, listener:
        send_syn(lab.client, probe, service, 80)
        seen.wait_for_reply()
    seen.assert_way("request", THROUGH)
    assert seen.nft_chains("reply")[:3] == [hook.lower() for hook in THROUGH]
    assert seen.legacy_hooks("reply")[:3] == THROUGH


@FAMILIES
def test_error_from_a_closed_port(lab: Lab, family: int):
    probe = probe_mark("udp", family)
    service = add_nat(lab, family)
    with watched(lab, probe) as seen:
        with pytest.raises(ConnectionRefusedError):
            send_udp(lab.client, family, service, 53, probe.token)
        seen.wait_for_reply()
    seen.assert_way("request", THROUGH)
    seen.assert_way("reply", THROUGH)


@FAMILIES
@pytest.mark.parametrize("protocol", ["icmp", "udp", "tcp", "dns"])
def test_error_from_the_node(lab: Lab, family: int, protocol: str):
    """The node's own ICMP error embeds the request, and goes out through its OUTPUT hook."""
    probe = probe_mark(protocol, family)
    target = {4: "icmp-admin-prohibited", 6: "icmp6-adm-prohibited"}[family]
    run(lab.node, f"{IPTABLES[family]}-nft", "-A", "FORWARD", "-j", "REJECT", "--reject-with", target)
    send = {
        "icmp": lambda: send_echo(lab.client, probe, SERVER[family]),
        "tcp": lambda: send_syn(lab.client, probe, SERVER[family], PORT),
        "udp": lambda: send_datagrams(lab.client, family, SERVER[family], PORT, [probe.token]),
        "dns": lambda: send_datagrams(lab.client, family, SERVER[family], PORT, [dns_query(probe.token)]),
    }
    with watched(lab, probe) as seen:
        send[protocol]()
        seen.wait_for_reply()
    seen.assert_way("request", ["PREROUTING", "FORWARD"])
    seen.assert_way("reply", LOCAL_OUT)
    (rejected,) = [nft.message for nft in seen.nft if nft.message.table == "filter"]
    assert (rejected.chain, rejected.verdict) == ("FORWARD", "drop")


@FAMILIES
def test_errors_about_the_reply_are_not_ours(lab: Lab, family: int):
    """A client that is gone answers the echoed datagram with an error, which embeds the reply and the token."""
    probe, gone = probe_mark("udp", family), threading.Event()
    with watched(lab, probe) as seen, udp_responder(lab.server, family, PORT, lambda data: data * gone.wait(TIMEOUT)):
        send_datagrams(lab.client, family, SERVER[family], PORT, [probe.token])
        gone.set()
        seen.wait_for_reply()
        seen.wait(lambda: unreachables_sent(lab.client, family) > 0)
    seen.assert_way("request", THROUGH)
    seen.assert_way("reply", THROUGH)


def test_two_marks_do_not_disturb_each_other(lab: Lab):
    probes = [probe_mark("icmp", 4), probe_mark("udp", 4)]
    add_rules_at_every_hook(lab.node, 4)
    with (
        mark_flow(lab.node, probes[0]) as echo,
        mark_flow(lab.node, probes[1]) as udp,
        open_nft_trace(lab.node, echo) as echo_reader,
        open_nft_trace(lab.node, udp) as udp_reader,
        udp_responder(lab.server, 4, PORT, lambda data: b"short"),
    ):
        ping(lab.client, probes[0], SERVER[4])
        send_udp(lab.client, 4, SERVER[4], PORT, probes[1].token)
        protocols = []
        for reader in (echo_reader, udp_reader):
            evidence = reader.read()
            chains = [seen.message.chain.upper() for seen in evidence if seen.message.handle is not None]
            assert chains == 2 * THROUGH
            assert {seen.message.table for seen in evidence} == {"watch"}
            protocols.append({seen.message.packet[9] for seen in evidence if seen.message.packet})
        assert protocols == [{1}, {17}]
        echo.close()
        assert list_tables(lab.node) == {"watch", udp.table}


def test_somebody_elses_trace_is_not_ours(lab: Lab):
    """Another program traces everything: the flow's other packets get our trace ids again, and are not ours."""
    add_rules_at_every_hook(lab.node, 4)
    chain = "chain everything { type filter hook prerouting priority -400; meta nftrace set 1; }"
    run(lab.node, "nft", "-f", "-", stdin=f"table ip other {{\n{chain}\n}}\n")
    run(lab.node, "iptables-legacy", "-t", "raw", "-A", "PREROUTING", "-j", "TRACE")
    probe = probe_mark("udp", 4)
    foreign = [os.urandom(20) for _ in range(5)]
    with watch(lab.node, probe) as seen:
        send_datagrams(lab.client, 4, SERVER[4], PORT, [*foreign, probe.token, *foreign])
        seen.wait_for_reply()
    seen.assert_way("request", THROUGH)
    seen.assert_way("reply", THROUGH)


def test_the_mark_makes_the_namespace_track_no_connections(lab: Lab):
    probe = probe_mark("udp", 4)
    with watch(lab.node, probe), udp_responder(lab.server, 4, PORT, lambda data: b"short"):
        send_udp(lab.client, 4, SERVER[4], PORT, probe.token)
        assert run(lab.node, "cat", "/proc/sys/net/netfilter/nf_conntrack_count").strip() == "0"


def list_tables(netns: Netns) -> set[str]:
    return {line.split()[-1] for line in run(netns, "nft", "list", "tables").splitlines()}


def test_the_table_goes_with_the_process_that_made_it():
    script = (
        "import sys, time\n"
        "from tracer.netfilter.evidence.mark import mark_flow\n"
        "from tracer.netfilter.evidence.signature import ProbeMark\n"
        "from tracer.netns import open_netns\n"
        "mark = mark_flow(open_netns('own', '/proc/self/ns/net'), ProbeMark('icmp', 4, bytes(16)))\n"
        "print(mark.table, flush=True)\n"
        "time.sleep(60)\n"
    )
    with anonymous("alone") as netns:
        process = run_in(
            netns, lambda: subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
        )
        with process:
            try:
                table = process.stdout.readline().strip()
                assert list_tables(netns) == {table}
                with pytest.raises(subprocess.CalledProcessError):
                    run(netns, "nft", "delete", "table", "ip", table)
                run(netns, "nft", "flush", "ruleset")
                assert list_tables(netns) == {table}
            finally:
                process.send_signal(signal.SIGKILL)
        assert list_tables(netns) == set()


def test_the_table_goes_when_the_mark_closes():
    with anonymous("alone") as netns:
        mark = mark_flow(netns, probe_mark("tcp", 6))
        assert list_tables(netns) == {mark.table}
        mark.close()
        mark.close()
        assert list_tables(netns) == set()


def test_a_held_nflog_group_is_named_with_its_holder():
    with anonymous("alone") as netns:
        mark = mark_flow(netns, probe_mark("icmp", 4))
        with mark, open_legacy_trace(netns, mark):
            with pytest.raises(CannotTraceError) as raised:
                open_legacy_trace(netns, mark)
            assert "NFLOG group 0 in the network namespace of alone" in raised.value.cause
            assert f"(pid {os.getpid()})" in raised.value.cause
        with open_legacy_trace(netns, mark):
            pass  # it was given back


def test_the_logger_of_a_namespace():
    with anonymous("alone") as netns:
        setting = Path("/proc/sys/net/netfilter/nf_log/10")
        run_in(netns, lambda: setting.write_text("NONE"))
        assert run_in(netns, lambda: current_logger(6)) == "NONE"
        assert must_change("NONE")
        run_in(netns, lambda: setting.write_text("nfnetlink_log"))
        assert not must_change(run_in(netns, lambda: current_logger(6)))
