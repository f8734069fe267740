from __future__ import annotations

import random

import msgspec
import pytest
from legacy_corpus import CORPORA, as_saved, by_table, recording, rules

from tracer.errors import CannotTraceError
from tracer.netfilter.legacy.entry import EXTENSION, LAYOUTS, VERDICT, target_place
from tracer.netfilter.legacy.sockopt import Snapshot
from tracer.netfilter.legacy.table import LegacyTable, parse

TABLES = [(name, family, table.name) for name, family in CORPORA for table in recording(name, family)]


def snapshot(name: str, family: str, table: str) -> Snapshot:
    return next(found for found in recording(name, family) if found.name == table)


def table(name: str, family: str, table_name: str) -> LegacyTable:
    return parse(snapshot(name, family, table_name))


def with_entries(recorded: Snapshot, entries: bytes) -> Snapshot:
    return msgspec.structs.replace(recorded, entries=entries)


@pytest.mark.parametrize("name, family", CORPORA)
def test_recorded_tables_read_as_iptables_saved_them(name, family):
    tables = [parse(recorded).table() for recorded in recording(name, family)]
    assert by_table(as_saved(tables)) == by_table(rules(name, family))


def test_table_says_its_backend_and_family():
    read = table("extensions", "ip6", "filter").table()
    assert (read.backend, read.family, read.name) == ("iptables-legacy", "ip6", "filter")


def test_chains_are_known_before_any_rule_is_rendered():
    calico = table("calico", "ip", "filter")
    assert calico.chain_names[:4] == ("INPUT", "FORWARD", "OUTPUT", "cali-FORWARD")
    assert calico.rule_count == rules("calico", "ip").count("\n-A", rules("calico", "ip").index("*filter"))


def test_base_chain_has_hook_and_policy():
    chain = table("calico", "ip", "filter").chain("FORWARD")
    assert (chain.hook, chain.policy, len(chain.rules)) == ("FORWARD", "DROP", 3)


def test_user_chain_has_neither_hook_nor_policy():
    chain = table("calico", "ip", "filter").chain("cali-from-wl-dispatch")
    assert (chain.hook, chain.policy) == (None, None)


def test_rule_is_found_by_its_position():
    rule = table("calico", "ip", "filter").rule("cali-from-wl-dispatch", 2)
    assert rule.text == (
        '-A cali-from-wl-dispatch -m comment --comment "cali:B4OP-jTKu1QtMwvC" '
        '-m comment --comment "Unknown interface" -j DROP'
    )
    assert (rule.position, rule.target, rule.owner) == (2, "DROP", "calico")


@pytest.mark.parametrize(
    "chain, position", [("cali-from-wl-dispatch", 0), ("cali-from-wl-dispatch", 3), ("cali-no-such-chain", 1)]
)
def test_rule_that_is_not_there(chain, position):
    assert table("calico", "ip", "filter").rule(chain, position) is None


def test_chain_that_is_not_there():
    assert table("calico", "ip", "filter").chain("cali-no-such-chain") is None


@pytest.mark.parametrize(
    "table_name, chain, position, target",
    [
        ("filter", "INPUT", 1, ""),
        ("filter", "INPUT", 2, "ACCEPT"),
        ("filter", "INPUT", 4, "QUEUE"),
        ("filter", "INPUT", 6, "a/b:c+d=e"),
        ("filter", "header", 1, "RETURN"),
        ("filter", "log", 1, "LOG"),
        ("raw", "PREROUTING", 1, "NOTRACK"),
        ("raw", "PREROUTING", 2, "CT"),
    ],
)
def test_target(table_name, chain, position, target):
    assert table("extensions", "ip", table_name).rule(chain, position).target == target


@pytest.mark.parametrize(
    "table_name, chain, position, owner",
    [
        ("filter", "INPUT", 4, "kubelet"),
        ("filter", "FORWARD", 3, "kube-proxy"),
        ("nat", "PREROUTING", 2, "cni"),
        ("nat", "POSTROUTING", 4, "unknown"),
        ("nat", "FLANNEL-POSTRTG", 1, "flannel"),
        ("filter", "DOCKER-USER", 1, "unknown"),
    ],
)
def test_owner(table_name, chain, position, owner):
    assert table("kube-proxy", "ip", table_name).rule(chain, position).owner == owner


@pytest.mark.parametrize("name, family, table_name", TABLES)
def test_truncated_table_is_refused(name, family, table_name):
    recorded = snapshot(name, family, table_name)
    cut = len(recorded.entries) // 2 + 3  # entries are aligned to 8 bytes
    with pytest.raises(CannotTraceError, match=rf"legacy table {table_name} \({family}\)"):
        parse(with_entries(recorded, recorded.entries[:cut]))


def test_table_without_the_chain_of_a_hook_is_refused():
    recorded = snapshot("calico", "ip", "raw")
    with pytest.raises(CannotTraceError):
        parse(with_entries(recorded, b""))


def test_table_with_two_chains_of_one_name_is_refused():
    recorded = snapshot("calico", "ip", "raw")
    twice = recorded.entries.replace(b"cali-rpf-skip\0", b"cali-OUTPUT\0\0\0", 1)
    with pytest.raises(CannotTraceError):
        parse(with_entries(recorded, twice))


def test_damaged_tables_are_read_or_refused():
    chance = random.Random(7)
    outcomes = set()
    for name, family, table_name in TABLES * 60:
        recorded = snapshot(name, family, table_name)
        entries = bytearray(recorded.entries)
        for _ in range(chance.choice((1, 5, 100))):
            entries[chance.randrange(len(entries))] = chance.randrange(256)
        try:
            parse(with_entries(recorded, bytes(entries))).table()
            outcomes.add("read")
        except CannotTraceError:
            outcomes.add("refused")
    assert outcomes == {"read", "refused"}


def test_bytes_that_are_no_match_are_shown_as_such():
    recorded = snapshot("calico", "ip", "filter")
    comment_header = b"\x20\x01comment\0"
    damaged = recorded.entries.replace(comment_header, b"\xff\xffcomment\0", 1)
    assert (
        parse(with_entries(recorded, damaged)).rule("INPUT", 1).text
        == "-A INPUT -m [288 bytes undecoded] -j cali-INPUT"
    )


def test_jump_to_no_chain_is_shown_as_such():
    recorded = snapshot("calico", "ip", "raw")
    entries = bytearray(recorded.entries)
    target_at, _ = target_place(LAYOUTS["ip"], recorded.entries, parse(recorded).places["PREROUTING"].rules[0])
    VERDICT.pack_into(entries, target_at + EXTENSION.size, 1)
    text = parse(with_entries(recorded, bytes(entries))).rule("PREROUTING", 1).text
    assert text.endswith("-j [byte 1, where no chain begins]")
