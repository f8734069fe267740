"""Store documents as JSON files, and read them back."""

from __future__ import annotations

import errno
import os
import re
import sys
from pathlib import Path
from typing import TypeVar

import msgspec

from tracer.document import TraceDocument
from tracer.errors import UsageError

STDOUT = "-"
MAJOR = 1

_WRITTEN_BY = "Name a file that tracer has written with `--json FILE`"
_T = TypeVar("_T")


class _Header(msgspec.Struct):
    schema: str | None = None


def readable(schema: str) -> str:
    """Return a regular expression for the versions of `schema` (`tracer/trace`) that can be read.

    A minor version only adds keys: no new kind of event, no new word where there is a fixed set of them. So whoever
    reads version 1 reads 1.7 too, and leaves out what it does not know.
    """
    return rf"^{schema}/{MAJOR}(\.[0-9]+)?$"


def write_document(document: TraceDocument, path: str) -> None:
    """Write `document` to the file `path`, or to standard output for `-`; raise UsageError as `write_json` does."""
    write_json(document, path)


def write_json(value: object, path: str) -> None:
    """Write a value of our types as JSON to the file `path`, or to standard output for `-`.

    Bytes are written in base64 (RFC 4648). A file that is there is overwritten in place, because `path` may well be a
    pipe or a device. Raise UsageError when that is refused.
    """
    data = json_bytes(value)
    try:
        if path == STDOUT:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        else:
            Path(path).write_bytes(data)
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        raise _unwritable(path, _reason(error)) from error


def check_writable(path: str) -> None:
    """Raise UsageError when it is plain already that `write_json` cannot write to `path`; nothing is opened."""
    if path == STDOUT:
        return
    target = Path(path)
    try:
        exists = target.exists()
    except (OSError, ValueError) as error:
        raise _unwritable(path, _reason(error)) from error
    if target.is_dir():
        raise _unwritable(path, os.strerror(errno.EISDIR))
    if not exists and not target.parent.is_dir():
        raise _unwritable(path, f"there is no folder {target.parent}")
    if not os.access(target if exists else target.parent, os.W_OK):
        raise _unwritable(path, "writing there is not allowed")


def _unwritable(path: str, reason: str) -> UsageError:
    name = "standard output" if path == STDOUT else path or "a file without a name"
    return UsageError(
        f"cannot write to {name}: {reason}",
        "Name a file in a folder that exists and that you may write to, with room for it",
    )


def json_bytes(value: object) -> bytes:
    """Return `value` as it is stored: indented JSON that ends with a newline."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"


def _reason(error: OSError | ValueError) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


def read_document(path: str) -> TraceDocument:
    """Return the trace document in the file `path`; raise UsageError as `read_struct` does."""
    return read_struct(path, TraceDocument, "tracer/trace")


def read_struct(path: str, kind: type[_T], schema: str) -> _T:
    """Return what the file `path` holds: a `kind`, written in major version 1 of the schema named `schema`.

    Keys that this version does not know are left out. Raise UsageError when there is no such file, or none that can
    be read as such a document.
    """
    try:
        data = Path(path).read_bytes()
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read {path}: {_reason(error)}", _WRITTEN_BY) from error
    return parse_struct(data, kind, schema, path)


def parse_struct(data: bytes, kind: type[_T], schema: str, name: str) -> _T:
    """Return what `data` holds; `name` is what errors call it. Raise UsageError as `read_struct` does."""
    _check_schema(_decode(data, _Header, schema, name).schema, schema, name)
    return _decode(data, kind, schema, name)


def _decode(data: bytes, kind: type[_T], schema: str, name: str) -> _T:
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError as error:
        raise UsageError(
            f"{name} is no document as {schema}/{MAJOR} describes it: {error}",
            "`$` is the whole document. If it was edited, go back to the file that tracer wrote",
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _not_json(data, name, error) from error


def _not_json(data: bytes, name: str, error: Exception) -> UsageError:
    if not data.strip():
        return UsageError(f"{name} is empty", "The run that should have written it may have failed: run it again")
    if "truncated" in str(error):
        return UsageError(
            f"{name} is cut off after {len(data)} bytes",
            "Copy it again from where it was written; if it is cut off there too, the disk may have been full",
        )
    return UsageError(f"{name} is not JSON: {error}", _WRITTEN_BY)


def _check_schema(found: str | None, schema: str, name: str) -> None:
    if found is None:
        raise UsageError(f'{name} is JSON, but not of tracer: it has no "schema"', _WRITTEN_BY)
    if re.fullmatch(readable(schema), found):
        return
    if found.startswith(f"{schema}/"):
        raise UsageError(
            f"{name} is written in {found}, and this version of tracer reads {schema}/{MAJOR}",
            "Read it with the version of tracer that wrote it, or with a newer one",
        )
    raise UsageError(f'{name} is another kind of document: its schema is "{found}", not {schema}/{MAJOR}', _WRITTEN_BY)
