"""The nf_tables table that marks a probe's packets, as one netlink transaction.

Its rules stand where packets enter the namespace or are made in it, in front of all others: of every chain with a
rule, each packet of every flow pays. First of all means before br_netfilter too, which steals a bridge's packet
from the chains of a hook that it has been through already: the packet goes on with another trace id (see
nft_trace), and the mark has to say so.

The addresses and ports of a UDP reply are known only from the request, and NAT changes them on the way. So the
table learns where the request goes when it comes, and once more behind source NAT, as it leaves.
"""

from __future__ import annotations

import functools
import re
import socket
from collections.abc import Iterator

from pyroute2.netlink import NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE, NLM_F_ECHO, NLM_F_EXCL, NLM_F_REQUEST
from pyroute2.netlink.nfnetlink import NFNL_SUBSYS_NFTABLES, nfgen_msg
from pyroute2.netlink.nfnetlink import nftsocket as nft

from tracer.events import Leg
from tracer.netfilter.evidence import nfnetlink
from tracer.netfilter.evidence.expressions import Expression, learning_rule, marking_rule
from tracer.netfilter.evidence.signature import ProbeMark, address_length, signatures
from tracer.netfilter.evidence.wire import nft_encoded_rule
from tracer.netfilter.ruleset import HOOKS

OUR_TABLE = re.compile(r"tracer-[0-9a-f]{16}")
"""The names of the tables that tracers make."""
ANSWERS = "answers"
"""The set of where UDP answers come from and go to."""

_MOST_ANSWERS = 64  # a request that is sent anew may be translated anew
_FIRST, _LAST = -(2**31), 2**31 - 2  # priorities; at the very last, conntrack confirms
_MARKING_CHAINS = ("prerouting", "output")
_LEARNING_CHAINS = ("input", "postrouting")
_FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
_OWNER = 2  # NFT_TABLE_F_OWNER, include/uapi/linux/netfilter/nf_tables.h
_ADDRESS_TYPE = {4: nft.DATA_TYPE_IPADDR, 6: nft.DATA_TYPE_IP6ADDR}
_BATCH_BEGIN, _BATCH_END = 0x10, 0x11  # include/uapi/linux/netfilter/nfnetlink.h
_BEFORE_FIRST_ATTRIBUTE = 16 + 4 + 4  # struct nlmsghdr, struct nfgenmsg, struct nlattr
_NEW = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL
_ADD = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_APPEND


def table_name(probe: ProbeMark) -> str:
    """Return the name of the probe's table: as random as the token."""
    return f"tracer-{probe.token[:8].hex()}"


@functools.lru_cache(maxsize=8)
def table_batch(probe: ProbeMark) -> bytes:
    """Return the transaction that makes the table of `probe`; it is the same in every namespace.

    The kernel echoes the marking rules with their handles, then acknowledges.
    """
    learning = _learning(probe) if probe.protocol == "udp" else []
    return b"".join([_boundary(_BATCH_BEGIN), _table(probe), *learning, *_marking(probe), _boundary(_BATCH_END)])


def answers_request(probe: ProbeMark, flags: int) -> bytes:
    """Return the request for the elements of the set of answers."""
    message = nft.nft_set_elem_list_msg()
    message["attrs"] = [
        ("NFTA_SET_ELEM_LIST_TABLE", table_name(probe)),
        ("NFTA_SET_ELEM_LIST_SET", ANSWERS),
    ]
    return _encode(probe, nft.NFT_MSG_GETSETELEM, message, flags)


def noted_leg(userdata: bytes) -> Leg:
    """Return the leg that a marking rule's comment names."""
    return "request" if userdata == _comment("request") else "reply"


def _marking(probe: ProbeMark) -> Iterator[bytes]:
    """Yield the chains and rules that mark; the last rule is acknowledged."""
    rules = [
        (kind.leg, _encode_expressions(marking_rule(kind, ANSWERS, address_length(probe))))
        for kind in signatures(probe)
    ]
    for chain in _MARKING_CHAINS:
        yield _chain(probe, chain, _FIRST)
        for number, (leg, rule) in enumerate(rules, 1):
            last = chain == _MARKING_CHAINS[-1] and number == len(rules)
            yield _rule(probe, chain, rule, leg, NLM_F_ECHO | (NLM_F_ACK if last else 0))


def _learning(probe: ProbeMark) -> Iterator[bytes]:
    """Yield the set of answers, and the chains that learn what source NAT made of the request."""
    (request,) = (kind for kind in signatures(probe) if kind.leg == "request")
    rule = _encode_expressions(learning_rule(request, ANSWERS, address_length(probe)))
    yield _answers(probe)
    for chain in _LEARNING_CHAINS:
        yield _chain(probe, chain, _LAST)
        yield _rule(probe, chain, rule, "learn", 0)


def _table(probe: ProbeMark) -> bytes:
    message = nft.nft_table_msg()
    message["attrs"] = [("NFTA_TABLE_NAME", table_name(probe)), ("NFTA_TABLE_FLAGS", _OWNER)]
    return _encode(probe, nft.NFT_MSG_NEWTABLE, message, _NEW)


def _answers(probe: ProbeMark) -> bytes:
    # What nft prints it as: a concatenation of address, port and port, 6 bits for each type.
    service = nft.DATA_TYPE_INET_SERVICE
    message = nft.nft_set_msg()
    message["attrs"] = [
        ("NFTA_SET_TABLE", table_name(probe)),
        ("NFTA_SET_NAME", ANSWERS),
        ("NFTA_SET_FLAGS", ("NFT_SET_EVAL",)),
        ("NFTA_SET_KEY_TYPE", (_ADDRESS_TYPE[probe.family] << 12) | (service << 6) | service),
        ("NFTA_SET_KEY_LEN", address_length(probe) + 8),
        ("NFTA_SET_ID", 1),
        ("NFTA_SET_DESC", {"attrs": [("NFTA_SET_DESC_SIZE", _MOST_ANSWERS)]}),
    ]
    return _encode(probe, nft.NFT_MSG_NEWSET, message, _NEW)


def _chain(probe: ProbeMark, name: str, priority: int) -> bytes:
    # A chain is named as its hook.
    place = [("NFTA_HOOK_HOOKNUM", HOOKS.index(name.upper())), ("NFTA_HOOK_PRIORITY", priority)]
    message = nft.nft_chain_msg()
    message["attrs"] = [
        ("NFTA_CHAIN_TABLE", table_name(probe)),
        ("NFTA_CHAIN_NAME", name),
        ("NFTA_CHAIN_HOOK", {"attrs": place}),
        ("NFTA_CHAIN_TYPE", "filter"),
    ]
    return _encode(probe, nft.NFT_MSG_NEWCHAIN, message, _NEW)


def _rule(probe: ProbeMark, chain: str, expressions: bytes, comment: str, flags: int) -> bytes:
    message = nft_encoded_rule()
    message["attrs"] = [
        ("NFTA_RULE_TABLE", table_name(probe)),
        ("NFTA_RULE_CHAIN", chain),
        ("NFTA_RULE_EXPRESSIONS", expressions),
        ("NFTA_RULE_USERDATA", _comment(comment)),
    ]
    return _encode(probe, nft.NFT_MSG_NEWRULE, message, _ADD | flags)


def _comment(text: str) -> bytes:
    """Return a comment as nft notes it in a rule's user data: type 0, length, text."""
    return bytes([0, len(text) + 1]) + text.encode() + b"\0"


def _encode_expressions(expressions: list[Expression]) -> bytes:
    rule = nft.nft_rule_msg()
    rule["attrs"] = [("NFTA_RULE_EXPRESSIONS", expressions)]
    rule.encode()
    return bytes(rule.data[_BEFORE_FIRST_ATTRIBUTE:])


def _encode(probe: ProbeMark, command: int, message: nfgen_msg, flags: int) -> bytes:
    kind = (NFNL_SUBSYS_NFTABLES << 8) | command
    return nfnetlink.encode(message, kind=kind, flags=NLM_F_REQUEST | flags, family=_FAMILY[probe.family])


def _boundary(kind: int) -> bytes:
    return nfnetlink.encode(nfgen_msg(), kind=kind, flags=NLM_F_REQUEST, resource=NFNL_SUBSYS_NFTABLES)
