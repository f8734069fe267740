"""One model for every packet-filter backend: tables, chains and rules."""

from __future__ import annotations

from typing import Literal

import msgspec

Backend = Literal["iptables-legacy", "iptables-nft", "nftables"]
Family = Literal["ip", "ip6", "inet", "arp", "bridge", "netdev"]
HOOKS = ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")
"""Hook names by their number in include/uapi/linux/netfilter.h."""


class Rule(msgspec.Struct, frozen=True, omit_defaults=True):
    """A rule: its place in the chain (from 1), its text as its own tool would save it, and where it leads.

    `target` is the verdict or target (`ACCEPT`, `DROP`, `REJECT`, `MARK`, …), or the chain jumped to.
    `handle` is nf_tables' own number for the rule.
    """

    position: int
    text: str
    target: str = ""
    handle: int | None = None
    owner: str = "unknown"


class Chain(msgspec.Struct, frozen=True, omit_defaults=True):
    """A chain; `hook`, `priority` and `policy` only where it is a base chain."""

    name: str
    rules: tuple[Rule, ...] = ()
    hook: str | None = None
    priority: int | None = None
    policy: str | None = None


class Table(msgspec.Struct, frozen=True, omit_defaults=True):
    """A table of one backend and family with its chains."""

    backend: Backend
    family: Family
    name: str
    chains: tuple[Chain, ...] = ()
