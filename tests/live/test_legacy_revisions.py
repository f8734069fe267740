"""Old revisions of matches and targets, which no iptables of today writes: the kernel still takes their layouts."""

from __future__ import annotations

import pytest
from anonymous_netns import anonymous, run
from legacy_revisions import MATCHES, TARGETS, Old
from legacy_writer import ACCEPT, entry, extension, replace

from tracer.netfilter.legacy import catalogue, read_table
from tracer.netfilter.legacy.sockopt import fetch
from tracer.netns import run_in

IPTABLES = {"ip": "iptables-legacy", "ip6": "ip6tables-legacy"}


def written_and_read(old: Old, first: bytes) -> str:
    """Return our text of an entry after the kernel has checked it."""
    with anonymous("node") as netns:
        run(netns, "ipset", "create", "ports", "hash:ip,port", "counters")
        run(netns, IPTABLES[old.family], "--wait", "-t", old.table, "-S")
        run_in(netns, lambda: replace(fetch(old.family, old.table), old.hook, first))
        rule = run_in(netns, lambda: read_table(old.family, old.table)).rule(old.hook, 1)
        return rule.text


@pytest.mark.parametrize("old", MATCHES, ids=lambda old: f"{old.name}-{old.revision}")
def test_match(old):
    layout = catalogue.MATCHES[old.family][old.name.encode(), old.revision]
    payload = layout.structure.pack(*old.members).ljust(layout.size, b"\0")
    first = entry(old.family, old.protocol, extension(old.name, old.revision, payload), ACCEPT)
    assert f"-m {old.shown} -j ACCEPT" in written_and_read(old, first)


@pytest.mark.parametrize("old", TARGETS, ids=lambda old: f"{old.name}-{old.revision}")
def test_target(old):
    layout = catalogue.TARGETS[old.family][old.name.encode(), old.revision]
    payload = layout.structure.pack(*old.members).ljust(layout.size, b"\0")
    first = entry(old.family, old.protocol, b"", extension(old.name, old.revision, payload))
    assert written_and_read(old, first).endswith(f"-j {old.shown}")
