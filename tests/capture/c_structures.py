"""Read what bpf/*.h and *.c declare: constants, enums, and where a compiler puts the fields of a structure.

Just the C that our own files use: numbers of fixed size, arrays of them, structures within structures.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tracer import resources

_DEFINE = re.compile(r"^#define (\w+) (\d+)\b", re.MULTILINE)
_ENUM = re.compile(r"^enum \w+ \{([^}]*)\};", re.MULTILINE)
_STRUCTURE = re.compile(r"^struct (\w+) \{\n(.*?)^\};", re.MULTILINE | re.DOTALL)
_FIELD = re.compile(r"^(?:struct )?(\w+) (\w+)(?:\[(\w+)\])?;$")
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_CODES = {"u64": "Q", "u32": "I", "s32": "i", "u16": "H", "u8": "B", "char": "s"}
_SIZES = {"u64": 8, "u32": 4, "s32": 4, "u16": 2, "u8": 1, "char": 1}


@dataclass(frozen=True)
class Field:
    """`codes` has one letter of the module `struct` for each number in the field."""

    name: str
    offset: int
    size: int
    codes: str


@dataclass(frozen=True)
class Structure:
    fields: tuple[Field, ...]
    size: int
    alignment: int


def constants() -> dict[str, int]:
    """Return every number that a #define or an enum of ours names."""
    text = _text()
    found = {name: int(value) for name, value in _DEFINE.findall(text)}
    for body in _ENUM.findall(text):
        found |= {name: int(value) for name, value in re.findall(r"(\w+) = (\d+)", body)}
    return found


def structures() -> dict[str, Structure]:
    """Return the structures that can be laid out; those with pointers in them are the kernel's."""
    known: dict[str, Structure] = {}
    for name, body in _STRUCTURE.findall(_text()):
        if "*" not in body:
            known[name] = _lay_out(body, known)
    return known


def _text() -> str:
    """Return all our sources without their comments, the headers that others build on first."""
    folder = resources.folder("bpf")
    paths = sorted(folder.glob("*.[hc]"), key=lambda path: (path.suffix != ".h", path.name))
    return "".join(_COMMENT.sub("", path.read_text()) for path in map(Path, paths)).replace(" \n", "\n")


def _lay_out(body: str, known: dict[str, Structure]) -> Structure:
    fields, offset, widest = [], 0, 1
    for line in filter(None, map(str.strip, body.splitlines())):
        kind, name, count = _FIELD.fullmatch(line).groups()
        times = 1 if count is None else int(constants().get(count, count))
        size, alignment = (known[kind].size, known[kind].alignment) if kind in known else (_SIZES[kind],) * 2
        codes = "".join(field.codes for field in known[kind].fields) if kind in known else _CODES[kind]
        offset += -offset % alignment
        fields.append(Field(name, offset, times * size, times * codes))
        offset += times * size
        widest = max(widest, alignment)
    return Structure(tuple(fields), offset + -offset % widest, widest)
