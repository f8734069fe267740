"""nf_tables expressions for the mark's rules, as pyroute2 encodes them.

Constants are those of include/uapi/linux/netfilter/nf_tables.h. Only payload, meta, cmp, bitwise, lookup,
dynset and immediate are used: all are built into nf_tables, and none of them makes the namespace track
connections, as a ct expression would.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from tracer.netfilter.evidence.signature import Answer, Field, Signature

Expression: TypeAlias = dict[str, Any]

_BASE = {"network": 1, "transport": 2}  # enum nft_payload_bases
_REG32_00 = 8  # 16 registers of 4 bytes follow
_CMP_EQ = 0
_META_L4PROTO, _META_NFTRACE = 16, 12
_DYNSET_ADD = 0


def marking_rule(signature: Signature, known: str, address_length: int) -> list[Expression]:
    """Return the rule that sets nf_trace on packets of `signature`.

    `known` is the set of answers, `address_length` the bytes of an address in its keys.
    """
    return [*learning_rule(signature, known, address_length), *_trace()]


def learning_rule(signature: Signature, known: str, address_length: int) -> list[Expression]:
    """Return the rule that matches packets of `signature`, and learns from them, without a mark."""
    expressions = [
        _expression("meta", dreg=_REG32_00, key=_META_L4PROTO),
        _equal(bytes([signature.protocol])),
    ]
    for field in signature.fields:
        expressions += _field(field)
    for answer in signature.answers:
        expressions += _answer(answer, known, address_length)
    return expressions


def _field(field: Field) -> list[Expression]:
    masked = [
        _expression(
            "bitwise",
            sreg=_REG32_00,
            dreg=_REG32_00,
            len=len(field.mask),
            mask=_value(field.mask),
            xor=_value(bytes(len(field.mask))),
        )
    ]
    return [
        _load("transport", field.offset, len(field.value), _REG32_00),
        *(masked if field.mask else []),
        _equal(field.value),
    ]


def _answer(answer: Answer, known: str, address_length: int) -> list[Expression]:
    port = _REG32_00 + address_length // 4
    key = [
        _load(answer.base, answer.address, address_length, _REG32_00),
        _load("transport", answer.port, 2, port),
        _load("transport", answer.own_port, 2, port + 1),
    ]
    if answer.use == "learn":
        return [*key, _expression("dynset", set_name=known, sreg_key=_REG32_00, op=_DYNSET_ADD)]
    flags = ("NFT_LOOKUP_F_INV",) if answer.use == "unknown" else ()
    return [*key, _expression("lookup", set=known, sreg=_REG32_00, flags=flags)]


def _trace() -> list[Expression]:
    return [
        _expression("immediate", dreg=_REG32_00, data=_value(b"\x01")),
        _expression("meta", key=_META_NFTRACE, sreg=_REG32_00),
    ]


def _load(base: str, offset: int, length: int, register: int) -> Expression:
    return _expression("payload", dreg=register, base=_BASE[base], offset=offset, len=length)


def _equal(value: bytes) -> Expression:
    return _expression("cmp", sreg=_REG32_00, op=_CMP_EQ, data=_value(value))


def _value(value: bytes) -> Expression:
    return {"attrs": [("NFTA_DATA_VALUE", value)]}


def _expression(name: str, **attributes: object) -> Expression:
    data = [(f"NFTA_{name}_{key}".upper(), value) for key, value in attributes.items()]
    return {"attrs": [("NFTA_EXPR_NAME", name), ("NFTA_EXPR_DATA", {"attrs": data})]}
