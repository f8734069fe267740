"""Read what `nft list` prints: the text of rules in nft's own syntax, with their handles.

Comments and names are other people's text and may look like anything: whether all rules were told apart is checked
where their handles are known.
"""

from __future__ import annotations

import re

from tracer.errors import CannotTraceError
from tracer.netfilter.nft.programs import output_of
from tracer.netfilter.ruleset import Family

# nft puts its arguments together and parses them: a name with a semicolon would begin another command, and there
# are no quotes for names. So nft is told only what its scanner takes for a name (nftables, src/scanner.l).
_SAYABLE = re.compile(r"[A-Za-z_.][A-Za-z0-9_./-]*")

_TABLE = re.compile(r"^table (\S+ [^\n]+) \{(?: # handle \d+)?$(.*?)^\}$", re.MULTILINE | re.DOTALL)
_CHAIN = re.compile(r"^\tchain ([^\n]+) \{ # handle \d+\n(.*?)^\t\}$", re.MULTILINE | re.DOTALL)
_ABOUT_CHAIN = re.compile(r"(?:\t\t(?:type [^\n]* hook |comment \"|policy |flags )[^\n]*\n)*")
_RULE = re.compile(r"\t\t(.*?) # handle (\d+)\n", re.DOTALL)
_LINE_END = re.compile(r"\n\s*")

_NOT_STATEMENTS = re.compile(r'"[^"]*"|\{[^}]*\}')
_TARGET = re.compile(
    r"\b(?:(?:jump|goto) (\S+)"
    r"|(accept|drop|return|continue|queue|reject|masquerade|snat|dnat|redirect|tproxy|notrack)(?= |$))"
)

ListedRule = tuple[int, str]
"""A rule's handle and text."""


def list_chain(family: Family, table: str, chain: str) -> list[ListedRule]:
    """Return the rules of a chain; raise CannotTraceError when nft is missing or does not print the chain."""
    chains = _list((("chain", family, table, chain), ("table", family, table), ("ruleset", family)), table)
    if chain not in chains:
        raise CannotTraceError(f"nft does not list the chain {chain!r} of table {family} {table!r}")
    return chains[chain]


def list_table(family: Family, table: str) -> dict[str, list[ListedRule]]:
    """Return the rules of each chain of a table; raise CannotTraceError as `list_chain` does."""
    return _list((("table", family, table), ("ruleset", family)), table)


def parse_listing(text: str) -> dict[str, dict[str, list[ListedRule]]]:
    """Return the rules in what `nft -a list` printed, by table (`inet filter`) and chain."""
    return {
        name: {chain: _rules(rules) for chain, rules in _CHAIN.findall(chains)} for name, chains in _TABLE.findall(text)
    }


def target_of(rule: str) -> str:
    """Return the verdict or last statement of a rule, or the chain that it leads to; empty where there is none."""
    found = _TARGET.findall(_NOT_STATEMENTS.sub("", rule))
    return "".join(found[-1]) if found else ""


def _list(objects: tuple[tuple[str, ...], ...], table: str) -> dict[str, list[ListedRule]]:
    """List the first of `objects` that nft can be told of: the last one has no name that other people gave."""
    family = objects[-1][1]
    for kind, *names in objects:
        if not all(_SAYABLE.fullmatch(name) for name in names):
            continue
        try:
            text = output_of([["nft"]], ["-a", "-s", "list", kind, *names])
        except CannotTraceError as error:
            refusal = error  # a keyword as a name: nft stumbles over it, and can still list what holds it
            continue
        return parse_listing(text).get(f"{family} {table}", {})
    raise refusal


def _rules(body: str) -> list[ListedRule]:
    about = _ABOUT_CHAIN.match(body)
    rules = body[about.end() if about else 0 :]
    return [(int(handle), _LINE_END.sub(" ", text.strip())) for text, handle in _RULE.findall(rules)]
