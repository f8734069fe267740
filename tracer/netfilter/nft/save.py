"""Read what iptables-nft-save and `iptables-nft -S` print.

Comments and names are other people's text: a quoted string may hold a line end and what looks like a rule. Whether
all rules were told apart is checked where their handles are known.
"""

from __future__ import annotations

import re

import msgspec

from tracer.errors import CannotTraceError
from tracer.netfilter.nft.programs import output_of
from tracer.netfilter.ruleset import Family

FAMILIES = {"ip": "iptables-nft", "ip6": "ip6tables-nft"}
"""The program for each family that this module reads."""
# xtables_save_string (libxtables/xtables.c) puts what needs it in double quotes, with backslashes before \ " and '.
_QUOTED = r'(?<= )"[^"\\]*(?:\\.[^"\\]*)*"'
_RULE = rf'-A(?:[^\n"]+|{_QUOTED}|")*'
_RULES = re.compile(rf"^{_RULE}", re.MULTILINE | re.DOTALL)
_RECORD = re.compile(
    rf"^(?:\*(?P<table>[^\n]+)|:(?P<chain>[^\n]+) (?P<policy>\S+) \[\d+:\d+\]|(?:\[\d+:\d+\] )?(?P<rule>{_RULE})"
    r"|(?P<commit>COMMIT)|# Table `(?P<refused>[^\n]+)|#[^\n]*|(?P<other>[^\n]+))$",
    re.MULTILINE | re.DOTALL,
)
_QUOTED_TEXT = re.compile(_QUOTED, re.DOTALL)
_TARGET = re.compile(r" -[jg] (\S+)")
# Names that iptables itself would give a chain; one that begins with - would be read as an option.
_NAME = re.compile(r"[^-!\s]\S*")


class SavedChain(msgspec.Struct, frozen=True):
    """A chain and its rules as they were saved; `policy` is `-` where it is not a base chain."""

    policy: str
    rules: list[str]


class Saved(msgspec.Struct, frozen=True):
    """The chains of each table by name, and what the program said of tables that it leaves to nft."""

    tables: dict[str, dict[str, SavedChain]]
    refused: list[str]


def save_tables(family: Family, table: str | None = None) -> Saved:
    """Return what iptables-nft-save prints of one table or all; raise CannotTraceError when it fails.

    It makes no table. What it does not understand (a native rule) it leaves out, with a word about it.
    """
    only = [] if table is None else ["-t", table]
    return parse_save(output_of(_programs(family, "-save"), only))


def chain_rules(family: Family, table: str, chain: str) -> list[str]:
    """Return the rules of one chain as `iptables-nft -S` prints them, which is as iptables-nft-save does."""
    if not _NAME.fullmatch(chain):
        raise CannotTraceError(f"{FAMILIES[family]} cannot be asked for a chain called {chain!r}")
    return _RULES.findall(output_of(_programs(family), ["-t", table, "-S", chain]))


def parse_save(text: str) -> Saved:
    """Return the tables in iptables-save's `text`; raise CannotTraceError when it is not whole.

    Every table must end with COMMIT: iptables-save was seen to fail half-way and to return success
    (projectcalico/felix#2501).
    """
    saved = Saved({}, [])
    chains: dict[str, SavedChain] | None = None
    for record in _RECORD.finditer(text):
        kind = record.lastgroup
        if kind == "table" and chains is None:
            chains = saved.tables.setdefault(record["table"], {})
        elif kind == "commit":
            chains = None
        elif kind == "refused":
            saved.refused.append(f"Table `{record['refused']}")
        elif kind in ("policy", "rule") and chains is not None:
            _add(record, chains)
        elif kind is not None:
            raise CannotTraceError(f"iptables-nft-save was not understood at {record[0]!r}")
    if chains is not None:
        raise CannotTraceError("iptables-nft-save ended within a table", "Trace again")
    return saved


def target_of(rule: str) -> str:
    """Return the target of a rule, or the chain that it leads to; empty where it only matches."""
    found = _TARGET.search(_QUOTED_TEXT.sub("", rule))
    return found[1] if found else ""


def _add(record: re.Match[str], chains: dict[str, SavedChain]) -> None:
    if record.lastgroup == "policy":
        chains[record["chain"]] = SavedChain(record["policy"], [])
    else:
        chains[_chain_of(record["rule"], chains)].rules.append(record["rule"])


def _chain_of(rule: str, chains: dict[str, SavedChain]) -> str:
    name = rule.split(" ", 2)[1]
    if name in chains:
        return name
    with_spaces = [chain for chain in chains if f"{rule} ".startswith(f"-A {chain} ")]
    if not with_spaces:
        raise CannotTraceError(f"iptables-nft-save has a rule of a chain that it does not list: {rule!r}")
    return max(with_spaces, key=len)


def _programs(family: Family, suffix: str = "") -> list[list[str]]:
    name = FAMILIES[family] + suffix
    return [[name], ["xtables-nft-multi", name]]
