from __future__ import annotations

import pytest
from legacy_corpus import CORPORA, recording
from legacy_revisions import MATCHES, SET_NAMES, TARGETS, UNTRIED_MATCHES, UNTRIED_TARGETS, Old

from tracer.netfilter.legacy import catalogue, entry
from tracer.netfilter.legacy.extension import Context, Extension, render
from tracer.netfilter.legacy.table import parse

OLD_MATCHES, OLD_TARGETS = MATCHES + UNTRIED_MATCHES, TARGETS + UNTRIED_TARGETS
KNOWN = {
    (name.decode(), revision)
    for by_family in (catalogue.MATCHES, catalogue.TARGETS)
    for known in by_family.values()
    for name, revision in known
}


def text(extension: Extension, family: str, *members: bytes | int) -> str:
    payload = extension.structure.pack(*members).ljust(extension.size, b"\0")
    return render(extension, extension.name.encode(), extension.revision, payload, Context(family, SET_NAMES))[1]


def match(name: str, revision: int, *members: bytes | int, family: str = "ip") -> str:
    return text(catalogue.MATCHES[family][name.encode(), revision], family, *members)


def target(name: str, revision: int, *members: bytes | int, family: str = "ip") -> str:
    return text(catalogue.TARGETS[family][name.encode(), revision], family, *members)


def described(old: Old) -> str:
    return f"{old.name}-{old.revision}"


@pytest.mark.parametrize("old", OLD_MATCHES, ids=described)
def test_old_match(old):
    assert match(old.name, old.revision, *old.members, family=old.family) == old.shown


@pytest.mark.parametrize("old", OLD_TARGETS, ids=described)
def test_old_target(old):
    assert target(old.name, old.revision, *old.members, family=old.family) == old.shown


def test_every_extension_is_tried(monkeypatch):
    """Each is in a recorded table, whose text iptables-save gave, or among the old revisions."""
    tried = {(old.name, old.revision) for old in OLD_MATCHES + OLD_TARGETS}

    def spy(extension, name, revision, payload, context):
        tried.add((name.decode(), revision))
        return render(extension, name, revision, payload, context)

    monkeypatch.setattr(entry, "render", spy)
    for corpus in CORPORA:
        for recorded in recording(*corpus):
            parse(recorded).table()
    assert KNOWN - tried == set()


@pytest.mark.parametrize("size", [0, 4, 8, 24])
def test_known_extension_of_another_size_is_undecoded(size):
    extension = catalogue.MATCHES["ip"][b"mark", 1]
    shown, rendered = render(extension, b"mark", 1, bytes(size), Context("ip", {}))
    assert (shown, rendered) == ("mark", f"mark[rev 1, {size} bytes undecoded]")


def test_unknown_extension_is_shown_by_name_revision_and_size():
    assert render(None, b"time", 0, bytes(24), Context("ip", {}))[1] == "time[rev 0, 24 bytes undecoded]"


@pytest.mark.parametrize(
    "name, revision, members",
    [
        ("tcp", 0, (0, 0xFFFF, 0, 0xFFFF, 0, 0xC2, 0x02, 0)),  # the flags ECE and CWR
        ("icmp", 0, (3, 1, 4, 0)),  # a range of codes
        ("multiport", 1, (3, 1, *[0] * 31)),  # neither source, destination nor both
        ("multiport", 1, (1, 16, *[0] * 31)),  # more ports than there is room for
        ("addrtype", 1, (0x1000, 0, 0)),
        ("rpfilter", 0, (0x10,)),
        ("socket", 3, (0x08,)),
        ("statistic", 0, (2, 0, 0, 0, 0, 0)),
        ("ttl", 0, (4, 1)),
        ("owner", 1, (0, 0, 0, 0, 0x10, 0)),
        ("state", 0, (0x200,)),
        ("u32", 0, (bytes(1980), 12, 0)),
        ("bpf", 1, (2, 1, 0, bytes(512), 0)),
        ("policy", 0, (bytes(304), 0, 5)),
        ("set", 1, (0, 7, 0)),
        ("set", 4, (0, 1, 0, 0, 5, 0, 0, 0)),
        ("ipvs", 0, (bytes(16), bytes(16), 0, 6, 0, 0, 0, 3)),
    ],
)
def test_match_with_a_value_of_no_known_meaning_is_undecoded(name, revision, members):
    assert match(name, revision, *members).startswith(f"{name}[rev {revision}, ")


@pytest.mark.parametrize(
    "name, revision, members",
    [
        ("REJECT", 0, (4,)),
        ("REJECT", 0, (9,)),
        ("CT", 2, (0x20, 0, 0, 0, bytes(16), bytes(32), 0)),
        ("CONNMARK", 2, (0, 0, 0, 0, 0, 3)),
        ("CONNMARK", 2, (0, 0, 0, 2, 1, 0)),
        ("DNAT", 0, (2, 1, bytes(4), bytes(4), 0, 0)),
        ("DNAT", 2, (0x40, bytes(16), bytes(16), 0, 0, 0)),
        ("SET", 3, (0, 1, 0, 0xFFFF, 0, 0, 0xFFFF, 0, 0, 0x1000, 0)),
        ("TTL", 0, (3, 1)),
    ],
)
def test_target_with_a_value_of_no_known_meaning_is_undecoded(name, revision, members):
    assert target(name, revision, *members).startswith(f"{name}[rev {revision}, ")


@pytest.mark.parametrize(
    "name, members, expected",
    [
        ("tcp", (0, 0xFFFF, 0, 0xFFFF, 0, 0, 0, 0x01), "tcp ! --sport 0:65535"),
        ("udp", (0, 0xFFFF, 0, 0xFFFF, 0x02), "udp ! --dport 0:65535"),
        ("esp", (0, 0xFFFFFFFF, 1), "esp ! --espspi 0:4294967295"),
    ],
)
def test_match_that_can_never_be_true_is_not_left_out(name, members, expected):
    assert match(name, 0, *members) == expected


def test_set_without_a_name_is_shown_by_index():
    assert match("set", 1, 9, 1, 0x02) == "set --match-set [set 9, name unknown] src"


@pytest.mark.parametrize(
    "comment, expected",
    [
        (b"", '""'),
        (b"two words", '"two words"'),
        (b"quote\" slash\\ tick'", '"quote\\" slash\\\\ tick\\\'"'),
        (b"\xff\xfe \x1b[31m", '"\\xff\\xfe \x1b[31m"'),
        ("ü".encode(), '"ü"'),
        (b"line\nbreak", '"line\nbreak"'),
        (b"cut\0off", "cut"),
        (b"x" * 256, "x" * 256),
    ],
)
def test_comment(comment, expected):
    assert match("comment", 0, comment.ljust(256, b"\0")) == f"comment --comment {expected}"
