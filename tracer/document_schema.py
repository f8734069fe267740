"""The JSON Schemas of our documents, made from the types themselves.

They are published in this package's folder `schemas`. After a change of the types, write them again with
`python -m tracer.document_schema`; a test compares the two.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from tracer.document import TraceDocument
from tracer.document_file import MAJOR, readable
from tracer.scenario.run import ReplayDocument

FOLDER = Path(__file__).parent / "schemas"
TYPES: Mapping[str, type[msgspec.Struct]] = {"tracer/trace": TraceDocument, "tracer/replay": ReplayDocument}

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_PROMISE = (
    "Keys may be added in a minor version: readers accept those that they do not know. Strings are untrusted: names "
    "and comments on the node are whatever somebody wrote there."
)


def document_schema(name: str) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of every document of the schema `name` that `read_struct` reads."""
    kind = TYPES[name]
    generated = msgspec.json.schema(kind)
    document = generated["$defs"][kind.__name__]
    document["required"].append("schema")  # the types have a default for it, a file must say it
    document["properties"]["schema"] = {"type": "string", "pattern": readable(name)}
    return {"$schema": _DIALECT, "title": f"{name}/{MAJOR}", "description": _PROMISE, **generated}


def schema_text(name: str) -> str:
    """Return the schema as it is published."""
    return json.dumps(document_schema(name), indent=2) + "\n"


def published(name: str) -> Path:
    """Return where the schema `name` is published."""
    return FOLDER / f"{name.rpartition('/')[2]}-{MAJOR}.json"


if __name__ == "__main__":
    for each in TYPES:
        published(each).write_text(schema_text(each), encoding="utf-8")
