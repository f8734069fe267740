"""Rules as real programs write them, and one of every match and target; each as iptables-save prints it.

`NAME.FAMILY.rules` is what the kernel was given and what must be read back, `NAME.sets` the ipsets that it needs, and
`NAME.FAMILY.recording` what the kernel then held (record_legacy_corpus.py makes it anew).
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from pathlib import Path

import msgspec

from tracer.netfilter.legacy.sockopt import Snapshot
from tracer.netfilter.ruleset import Table

DATA = Path(__file__).parent / "netfilter" / "data" / "legacy"
CORPORA = (("calico", "ip"), ("kube-proxy", "ip"), ("extensions", "ip"), ("extensions", "ip6"))


def rules(name: str, family: str) -> str:
    """Return the corpus in iptables-save's form, without its comments and counters."""
    return (DATA / f"{name}.{family}.rules").read_text()


def by_table(text: str) -> dict[str, str]:
    """Split text in the form of `rules` by table: the kernel lists tables in an order of its own."""
    tables = (table + "COMMIT\n" for table in text.split("COMMIT\n") if table)
    return {table[1 : table.index("\n")]: table for table in tables}


def sets(name: str) -> str:
    """Return the ipsets that the corpus needs, in the form of `ipset restore`."""
    path = DATA / f"{name}.sets"
    return path.read_text() if path.exists() else ""


def recording(name: str, family: str) -> list[Snapshot]:
    """Return the tables that the kernel held when the corpus was recorded."""
    packed = (DATA / f"{name}.{family}.recording").read_bytes()
    return msgspec.json.decode(gzip.decompress(packed), type=list[Snapshot])


def record(name: str, family: str, snapshots: list[Snapshot]) -> None:
    """Write what `recording` reads."""
    packed = gzip.compress(msgspec.json.encode(snapshots), mtime=0)
    (DATA / f"{name}.{family}.recording").write_bytes(packed)


def as_saved(tables: Iterable[Table]) -> str:
    """Return the tables in the form of `rules`."""
    lines = []
    for table in tables:
        lines.append(f"*{table.name}")
        lines += [f":{chain.name} {chain.policy or '-'}" for chain in table.chains]
        lines += [rule.text for chain in table.chains for rule in chain.rules]
        lines.append("COMMIT")
    return "".join(f"{line}\n" for line in lines)
