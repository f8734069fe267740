"""One thing that is wrong with a scenario, and the two shapes that most of them have."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """What is wrong, at which key path, and the way out."""

    path: str
    cause: str
    way_out: str


def repeated(named: Iterable[tuple[str, str]], way_out: str) -> Iterator[Problem]:
    """Yield a problem for each name that an earlier key path has; `named` are key paths with their names."""
    first: dict[str, str] = {}
    for path, name in named:
        if name in first:
            yield Problem(path, f"{name} is at {first[name]} already", way_out)
        first.setdefault(name, path)


def unknown(path: str, name: str, known: Iterable[str]) -> Problem:
    """Return the problem of a name that leads nowhere."""
    return Problem(path, f"there is no {name}", f"There are: {', '.join(sorted(known)) or 'none'}")
