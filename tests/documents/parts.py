"""Short ways to write hops and decisions down."""

from __future__ import annotations

from tracer.document import Capture, Change, Decision, Hop, Host, Place

LEGACY, NFT, NATIVE = "iptables-legacy", "iptables-nft", "nftables"
SENT_AT = 81_274_000_000_000
CALI = "cali7f3a90c2d41"
POD, WEB = "netns:new-pod", "netns:web"

NODE_END = Place("node", "node", "10.86.0.1", None, None, None)
POD_END = Place(POD, POD, "192.168.86.67", None, "eth0", CALI)
WEB_END = Place(WEB, WEB, "192.168.86.66", 41022, "eth0", "caliweb")
HOST = Host("worker-1", "6.12.48+deb13-amd64", "0.1.0", "2025-11-23T03:12:45.118+00:00")
CHANGES = (Change("node", "net.netfilter.nf_log.2", "NONE", "nfnetlink_log", restored=True),)
CAPTURE = Capture("link", "tcx", ("nft-trace", "legacy-trace"), 214, 0, CHANGES)
PACKET = bytes.fromhex("4500001c000100004001a5de0a560001c0a856430800f7fe00010000")


def matched(backend, table, position, text, verdict, owner="unknown"):
    """Return the decision of a rule as iptables-save writes it: the text names its chain."""
    handle = None if backend == LEGACY else 40 + position
    return Decision(backend, "ip", table, text.split()[1], position, handle, text, verdict, owner)


def policy(backend, table, chain, verdict="accept", family="ip"):
    text = f"policy {verdict}" if backend == NATIVE else f"-P {chain} {verdict.upper()}"
    return Decision(backend, family, table, chain, None, None, text, verdict, "unknown")


def end_of(backend, table, chain):
    return Decision(backend, "ip", table, chain, None, None, "", "return", "unknown")


def hop(at_us, netns, place, device=None, ends=("10.86.0.1", "192.168.86.67"), decisions=(), **other):
    return Hop(SENT_AT + int(at_us * 1000), netns, place, device, *ends, tuple(decisions), **other)


def interleaved(first, second):
    """Return two backends' decisions at one hook: table by table, the first backend first."""
    tables = ("raw", "mangle", "nat", "filter")
    return tuple(each for table in tables for side in (first, second) for each in side if each.table == table)
