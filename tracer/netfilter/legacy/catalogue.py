"""Every match and target that we can render, by family, name and revision."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tracer.netfilter.legacy import (
    conntrack,
    headers,
    ipsec,
    marks,
    nat,
    packets,
    programs,
    rates,
    sets,
    targets,
    transport,
)
from tracer.netfilter.legacy.extension import BOTH, Extension, IpFamily

Catalogue = Mapping[tuple[bytes, int], Extension]


def _by_family(*tables: Iterable[Extension]) -> dict[IpFamily, Catalogue]:
    return {
        family: {
            (extension.name.encode(), extension.revision): extension
            for table in tables
            for extension in table
            if family in extension.families
        }
        for family in BOTH
    }


MATCHES = _by_family(
    conntrack.MATCHES,
    headers.MATCHES,
    ipsec.MATCHES,
    marks.MATCHES,
    packets.MATCHES,
    programs.MATCHES,
    rates.MATCHES,
    sets.MATCHES,
    transport.MATCHES,
)
TARGETS = _by_family(marks.TARGETS, nat.TARGETS, sets.TARGETS, targets.TARGETS)
