"""The trace document's JSON Schema, made from the types themselves.

It is published as `schemas/trace-1.json` in this package. After a change of the types, write it again with
`python -m tracer.document_schema`; a test compares the two.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from tracer.document import TraceDocument
from tracer.document_file import readable

PUBLISHED = Path(__file__).parent / "schemas" / "trace-1.json"

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_MEANING = (
    "What one run of tracer saw of one probe, and what that means. Keys may be added in a minor version: readers "
    "accept those that they do not know. Strings are untrusted: names and comments on the node are whatever "
    "somebody wrote there."
)


def document_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of every document that `tracer.document_file` reads."""
    generated = msgspec.json.schema(TraceDocument)
    document = generated["$defs"]["TraceDocument"]
    document["required"].append("schema")  # the types have a default for it, a file must say it
    document["properties"]["schema"] = {"type": "string", "pattern": readable("tracer/trace")}
    return {"$schema": _DIALECT, "title": "tracer/trace/1", "description": _MEANING, **generated}


def schema_text() -> str:
    """Return the schema as it is published."""
    return json.dumps(document_schema(), indent=2) + "\n"


if __name__ == "__main__":
    PUBLISHED.write_text(schema_text(), encoding="utf-8")
