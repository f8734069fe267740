"""Which network namespaces are held, by this process or by any, as /proc tells."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path


def held_here() -> set[int]:
    """Return the inode numbers of the namespaces that our descriptors hold."""
    return set(_inums(Path("/proc/self/fd").iterdir()))


def in_use() -> set[int]:
    """Return the inode number of each namespace that a thread is in or that anybody's descriptor holds."""
    threads = Path("/proc").glob("[0-9]*/task/*/ns/net")
    return set(_inums(itertools.chain(threads, Path("/proc").glob("[0-9]*/fd/*"))))


def _inums(links: Iterable[Path]) -> Iterator[int]:
    for link in links:
        with contextlib.suppress(OSError):
            target = str(link.readlink())
            if target.startswith("net:["):
                yield int(target[5:-1])
