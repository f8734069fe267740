"""Count what nf_tables holds in the calling thread's network namespace, and say who wrote it.

No program is asked, and no rule's text is made: 50,000 rules in 20,000 chains take 0.8 s, most of it the kernel's.
"""

from __future__ import annotations

from tracer.document import RulesetSummary
from tracer.netfilter.evidence.messages import name_text
from tracer.netfilter.evidence.table import OUR_TABLE
from tracer.netfilter.nft.kernel import attribute_list, attributes, chain_messages, rule_attributes
from tracer.netfilter.nft.tables import NftTable, nft_tables
from tracer.netfilter.owners import UNKNOWN, owner_of

# include/uapi/linux/netfilter/nf_tables.h and nf_tables_compat.h
_RULE_EXPRESSIONS, _RULE_USERDATA = 4, 7
_EXPR_NAME, _EXPR_DATA = 1, 2
_IMMEDIATE_DATA, _DATA_VERDICT, _VERDICT_CHAIN = 2, 2, 2
_MATCH_NAME, _MATCH_INFO = 1, 3


def summarize(netns: str) -> tuple[RulesetSummary, ...]:
    """Return one entry for each table, for the namespace labelled `netns`; tables of tracers are left out.

    `owners` has `unknown` when somebody unknown has written a rule. Raise CannotTraceError when the kernel does not
    tell its rules.
    """
    return tuple(_summary(netns, table) for table in nft_tables().values() if not OUR_TABLE.fullmatch(table.name))


def _summary(netns: str, table: NftTable) -> RulesetSummary:
    by_chain = {name: owner_of(name, table=table.name) for name in table.chains}
    owners = set(by_chain.values()) - {UNKNOWN}
    count = 0
    for chain, rules in chain_messages(table.family, table.name, table.chains):
        count += len(rules)
        if by_chain[chain] == UNKNOWN:
            owners.update(_owner(chain, rule_attributes(rule)) for rule in rules)
    return RulesetSummary(
        netns=netns,
        backend=table.backend,
        family=table.family,
        table=table.name,
        chains=len(table.chains),
        rules=count,
        owners=tuple(sorted(owners)),
    )


def _owner(chain: str, rule: dict[int, bytes]) -> str:
    """Return who owns a rule, by its comments and the chain that it leads to."""
    comments, target = [_noted_comment(rule.get(_RULE_USERDATA, b""))], ""
    for _, expression in attribute_list(rule.get(_RULE_EXPRESSIONS, b"")):
        parts = attributes(expression)
        if parts[_EXPR_NAME] == b"immediate\0":
            target = _verdict_chain(parts[_EXPR_DATA]) or target
        elif parts[_EXPR_NAME] == b"match\0":
            comments.append(_matched_comment(parts[_EXPR_DATA]))
    return owner_of(chain, " ".join(f'comment "{comment}"' for comment in comments if comment), target)


def _verdict_chain(data: bytes) -> str:
    verdict = attributes(attributes(data).get(_IMMEDIATE_DATA, b"")).get(_DATA_VERDICT, b"")
    return name_text(attributes(verdict).get(_VERDICT_CHAIN, b""))


def _matched_comment(data: bytes) -> str:
    """Return the text of iptables' `-m comment` (struct xt_comment_info)."""
    match = attributes(data)
    if match[_MATCH_NAME] != b"comment\0":
        return ""
    return _escaped(match[_MATCH_INFO])


def _noted_comment(userdata: bytes) -> str:
    """Return the comment that nft keeps in a rule's user data: type 0, length, text (libnftnl, udata.h)."""
    if userdata[:1] != b"\0":
        return ""
    return _escaped(userdata[2 : 2 + userdata[1]])


def _escaped(comment: bytes) -> str:
    """Return the comment as the programs would print it between quotes."""
    return name_text(comment.partition(b"\0")[0]).replace("\\", r"\\").replace('"', r"\"")
