"""The order of hooks: which of two backends runs first, what stands inside NAT, and hooks that are not watched."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from trace_lab import load, load_native, places

from tracer.scenario.backends import load_rules

ROOT = Path(__file__).parents[2]
LEGACY, NFT = "iptables-legacy", "iptables-nft"


def hooks_of(netns):
    """Return what `tracer hooks` says of a namespace, as JSON and as text."""
    path = netns.path.replace("/self/", f"/{os.getpid()}/")
    done = subprocess.run(
        [sys.executable, "-m", "tracer", "hooks", "--node", f"netns:{path}", "--json", "-"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    return json.loads(done.stdout), done.stderr


def at(hooks, hook, family="ipv4"):
    return [entry for entry in hooks if (entry["hook"], entry["family"]) == (hook, family)]


def short(entry):
    return entry["priority"], entry["backend"], entry["table"], entry["chain"]


def load_chain(netns, family, hook):
    text = f"table {family} t {{\nchain c {{\ntype filter hook {hook} priority 0;\nudp dport 5000 drop\n}}\n}}\n"
    load_rules(netns, ("nftables", "inet"), text, "the test")


@pytest.mark.parametrize("first, last", [(LEGACY, NFT), (NFT, LEGACY)])
def test_at_one_priority_the_younger_runs_first(traced_lab, first, last):
    for backend in (first, last):
        load(traced_lab.node, backend, ":INPUT ACCEPT [0:0]")
    hooks, text = hooks_of(traced_lab.node)
    assert [short(entry) for entry in at(hooks, "INPUT")] == [
        (0, last, "filter", "INPUT"),
        (0, first, "filter", "INPUT"),
    ]
    assert f"{last} runs before {first} at priority 0" in text
    assert [entry["order"] for entry in at(hooks, "INPUT")] == [1, 2]
    assert at(hooks, "INPUT", "ipv6") == []


def test_an_inet_chain_stands_in_both_families(traced_lab):
    load_native(traced_lab.node, "forward", "accept", kind="filter at 10")
    load(traced_lab.node, LEGACY, ":FORWARD ACCEPT [0:0]", family=6)
    hooks, _ = hooks_of(traced_lab.node)
    native = (10, "nftables", "t-forward", "c")
    assert [short(entry) for entry in at(hooks, "FORWARD")] == [native]
    assert [short(entry) for entry in at(hooks, "FORWARD", "ipv6")] == [(0, LEGACY, "filter", "FORWARD"), native]


def test_what_nat_runs_follows_it(traced_lab):
    """NAT has one function in the hook, which asks the tables in their own order (net/netfilter/nf_nat_core.c)."""
    load(traced_lab.node, LEGACY, "-A PREROUTING -p udp -j DNAT --to 10.2.0.2", table="nat")
    load_native(traced_lab.node, "prerouting", "accept", kind="nat at -90")
    load(traced_lab.node, NFT, "-A PREROUTING -p udp -j DNAT --to 10.2.0.2", table="nat")
    hooks, _ = hooks_of(traced_lab.node)
    names = [entry["backend"] or entry["function"] for entry in at(hooks, "PREROUTING")]
    assert names[-4:] == ["nf_nat_ipv4_pre_routing", NFT, LEGACY, "nftables"]


@pytest.mark.parametrize("family, hook", [("netdev", "ingress device veth1"), ("inet", "ingress device veth1")])
def test_a_drop_in_an_ingress_hook(trace, traced_lab, family, hook):
    """It comes before the hooks that are read, and is no part of any of them."""
    load_chain(traced_lab.node, family, hook)
    document = trace("client", "server", "udp")
    verdict, culprit = document.verdict, document.verdict.culprit
    assert (verdict.outcome, verdict.confidence, culprit.kind) == ("request_lost", "inferred", "kernel"), verdict
    assert (culprit.netns, culprit.hook, culprit.device, culprit.backend) == ("node", None, "veth1", None)
    assert "between the ingress of veth1 and PREROUTING, where chains of ingress hooks stand" in verdict.summary
    assert places(document, "request")[-2:] == ["node ingress", "node freed"]
    assert not any(entry.table == "t" for entry in document.hooks)


def test_a_drop_in_an_egress_hook(trace, traced_lab):
    load_chain(traced_lab.node, "netdev", "egress device veth2")
    verdict = trace("client", "server", "udp").verdict
    assert (verdict.outcome, verdict.confidence, verdict.culprit.hook) == ("request_lost", "inferred", "POSTROUTING")
    assert "a chain of an egress hook" in verdict.summary
    assert verdict.culprit.table is None


def test_chains_of_other_families_change_nothing(trace, traced_lab):
    load_chain(traced_lab.node, "netdev", "ingress device veth3")
    load_rules(
        traced_lab.node,
        ("nftables", "inet"),
        "table bridge t {\nchain c {\ntype filter hook forward priority 0; policy drop;\n}\n}\n"
        "table arp a {\nchain c {\ntype filter hook input priority 0;\naccept\n}\n}\n",
        "the test",
    )
    document = trace("client", "server", "udp")
    assert document.verdict.outcome == "delivered"
    assert [entry for entry in document.hooks if entry.backend] == []
    hooks, text = hooks_of(traced_lab.node)
    assert hooks == []
    assert "Nothing is registered at any netfilter hook" in text
