"""Show names that others chose: devices, namespaces and the like may hold any bytes."""

from __future__ import annotations


def printable(name: str | bytes) -> str:
    """Return `name` with everything escaped that a terminal or a JSON document should not get as it is."""
    raw = name if isinstance(name, bytes) else name.encode(errors="surrogateescape")
    text = raw.decode(errors="backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
