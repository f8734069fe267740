"""Record a corpus anew: sudo unshare --net python tests/record_legacy_corpus.py NAME FAMILY."""

from __future__ import annotations

import subprocess
import sys

from legacy_corpus import record, rules, sets

from tracer.netfilter.legacy.sockopt import fetch, listed_tables

RESTORE = {"ip": "iptables-legacy-restore", "ip6": "ip6tables-legacy-restore"}


def main(name: str, family: str) -> None:
    """Load the corpus into this namespace, which must be a fresh one, and record its tables."""
    if listed_tables(family):
        sys.exit("This network namespace has tables already: run it in a fresh one (unshare --net)")
    subprocess.run(["ipset", "restore"], input=sets(name), text=True, check=True)
    subprocess.run([RESTORE[family], "--wait"], input=rules(name, family), text=True, check=True)
    record(name, family, [fetch(family, table) for table in listed_tables(family)])


if __name__ == "__main__":
    main(*sys.argv[1:])
