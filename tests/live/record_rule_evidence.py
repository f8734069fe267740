"""Record what a kernel says of marked packets, for tests/netfilter: python tests/live/record_rule_evidence.py.

Each recording has the netlink messages of both traces as they came, the mark's rules and what it had learnt.
Somebody else's trace runs meanwhile, so that messages that are not ours are among them.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import socket
from collections.abc import Callable
from pathlib import Path

from anonymous_netns import Lab, forwarding_lab, run
from evidence_traffic import SERVER, ping, send_datagrams, send_udp, udp_responder
from pyroute2.netlink.nfnetlink import NFNLGRP_NFTRACE

from tracer.netfilter.evidence import nfnetlink
from tracer.netfilter.evidence.legacy_trace import open_legacy_trace
from tracer.netfilter.evidence.mark import mark_flow
from tracer.netfilter.evidence.signature import ProbeMark
from tracer.netns import run_in

DATA = Path(__file__).parent.parent / "netfilter" / "data" / "evidence"
PORT = 5300
RULES = """
table {table} native {{
    chain marks {{ meta mark set 7; return; }}
    chain last {{ counter; }}
    chain there {{ type filter hook forward priority 10; counter; jump marks; goto last; }}
}}
table {table} other {{
    chain everything {{ type filter hook prerouting priority -400; meta nftrace set 1; }}
}}
table {table} nat {{
    chain to {{ type nat hook prerouting priority dstnat; {table} daddr {service} udp dport 53 dnat to {backend}; }}
    chain from {{ type nat hook postrouting priority srcnat; oifname veth2 masquerade fully-random; }}
}}
"""
LEGACY = """*raw
:odd:rule:3:name - [0:0]
-A PREROUTING -j odd:rule:3:name
-A PREROUTING -p tcp -j DROP
-A odd:rule:3:name -j RETURN
COMMIT
*filter
-A FORWARD -m comment --comment "LOG comes here too" -j LOG --log-prefix "TRACE: of somebody else"
COMMIT
"""
SERVICE = {4: "10.9.9.9", 6: "fd09::9"}
BACKEND = {4: f"10.2.0.2:{PORT}", 6: f"[fd02::2]:{PORT}"}


def echo(lab: Lab, probe: ProbeMark) -> None:
    """One echo of ours between two of somebody else's."""
    other = ProbeMark("icmp", probe.family, os.urandom(16))
    for each in (other, probe, other):
        ping(lab.client, each, SERVER[probe.family])


def udp(lab: Lab, probe: ProbeMark) -> None:
    """One datagram of ours, sent back as it came, between two of somebody else's."""
    family, service = probe.family, SERVICE[probe.family]
    with udp_responder(lab.server, family, PORT, lambda data: data):
        send_udp(lab.client, family, service, 53, b"somebody else's")
        send_udp(lab.client, family, service, 53, probe.token + b"!")
        send_datagrams(lab.client, family, SERVER[family], 9, [b"closed port"])


def record(probe: ProbeMark, traffic: Callable[[Lab, ProbeMark], None]) -> None:
    """Write one recording."""
    table, legacy_program = {4: ("ip", "iptables"), 6: ("ip6", "ip6tables")}[probe.family]
    rules = RULES.format(table=table, service=SERVICE[probe.family], backend=BACKEND[probe.family])
    with contextlib.ExitStack() as stack:
        lab = stack.enter_context(forwarding_lab())
        run(lab.node, "nft", "-f", "-", stdin=rules)
        run(lab.node, f"{legacy_program}-legacy-restore", stdin=LEGACY)
        mark = stack.enter_context(mark_flow(lab.node, probe))
        legacy = stack.enter_context(open_legacy_trace(lab.node, mark))
        nft = stack.enter_context(run_in(lab.node, nfnetlink.open_socket))
        nfnetlink.listen(nft, NFNLGRP_NFTRACE)
        traffic(lab, probe)
        known = mark.answers()
        with socket.socket(fileno=os.dup(legacy.fileno())) as legacy_stream:
            streams = {"nft": nft, "legacy": legacy_stream}
            said = {name: [data.hex() for data in nfnetlink.receive(stream)] for name, stream in streams.items()}
    recording = {
        "kernel": platform.release(),
        "nft_rules": rules,
        "legacy_rules": LEGACY,
        "probe": {"protocol": probe.protocol, "family": probe.family, "token": probe.token.hex()},
        "legs": dict(mark.legs),
        "remotes": sorted(key.hex() for key in known.remotes),
        "own_ports": sorted(key.hex() for key in known.own_ports),
        **said,
    }
    DATA.mkdir(exist_ok=True)
    path = DATA / f"{probe.protocol}{probe.family}.json"
    path.write_text(json.dumps(recording, indent=1) + "\n")


if __name__ == "__main__":
    record(ProbeMark("icmp", 4, os.urandom(16)), echo)
    record(ProbeMark("udp", 6, os.urandom(16)), udp)
