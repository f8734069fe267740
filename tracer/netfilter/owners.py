"""Who writes a rule: calico, kube-proxy, docker, … What is known of them is in owners.yaml."""

from __future__ import annotations

import re
from functools import cache, lru_cache
from pathlib import Path
from typing import Literal

import msgspec

UNKNOWN = "unknown"
Sign = Literal["chains", "comments", "tables"]

# `--comment TEXT` of iptables-save, where a backslash escapes, and `comment "TEXT"` of nft, which escapes nothing.
_COMMENT = re.compile(r'--comment (?:"((?:\\.|[^"\\])*)"|(\S+))|\bcomment "([^"]*)"', re.DOTALL)


class Owner(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the names and comments that an owner writes begin."""

    chains: tuple[str, ...] = ()
    comments: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()


@cache
def known_owners() -> dict[str, Owner]:
    """Return the owners in owners.yaml by name."""
    return msgspec.yaml.decode(Path(__file__).with_name("owners.yaml").read_bytes(), type=dict[str, Owner])


def owner_of(chain: str, rule_text: str = "", target: str = "", table: str = "") -> str:
    """Return who owns a rule, `unknown` when nothing tells.

    The rule's own chain tells most, then its comments, then the chain it leads to, then a native nf_tables
    table that belongs to one program. `rule_text` is as iptables-save or nft prints it.
    """
    owner = _begins(chain, "chains")
    if owner == UNKNOWN:
        owner = _of_comments(rule_text)
    if owner == UNKNOWN:
        owner = _begins(target, "chains")
    return _begins(table, "tables") if owner == UNKNOWN else owner


def _of_comments(rule_text: str) -> str:
    owners = (_begins(found[found.lastindex or 0], "comments") for found in _COMMENT.finditer(rule_text))
    return next((owner for owner in owners if owner != UNKNOWN), UNKNOWN)


@lru_cache(maxsize=4096)
def _begins(text: str, sign: Sign) -> str:
    """Return the owner with the longest beginning of `text` among its chains, comments or tables."""
    pattern, owners = _beginnings(sign)
    found = pattern.match(text)
    return owners[found[0]] if found else UNKNOWN


@cache
def _beginnings(sign: Sign) -> tuple[re.Pattern[str], dict[str, str]]:
    """Return all beginnings of one kind as one pattern, the longest first, and the owner of each."""
    owners = {begin: name for name, owner in known_owners().items() for begin in getattr(owner, sign)}
    return re.compile("|".join(map(re.escape, sorted(owners, key=len, reverse=True)))), owners
