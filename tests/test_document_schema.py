from __future__ import annotations

import json

import documents
import jsonschema
import pytest

from tracer.document_file import json_bytes
from tracer.document_schema import TYPES, document_schema, published, schema_text
from tracer.scenario.run import ProbeResult, ReplayDocument

VALIDATOR = jsonschema.Draft202012Validator(document_schema("tracer/trace"))


def in_any_order(value):
    """Return a schema with the alternatives of each anyOf in a fixed order: msgspec's versions differ there."""
    if isinstance(value, dict):
        return {
            key: sorted(map(in_any_order, inner), key=json.dumps) if key == "anyOf" else in_any_order(inner)
            for key, inner in value.items()
        }
    return [in_any_order(inner) for inner in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", TYPES)
def test_the_published_schema_is_current(name):
    there = json.loads(published(name).read_text(encoding="utf-8"))
    assert in_any_order(there) == in_any_order(json.loads(schema_text(name))), "run: python -m tracer.document_schema"


@pytest.mark.parametrize("name", TYPES)
def test_it_is_a_schema(name):
    jsonschema.Draft202012Validator.check_schema(document_schema(name))


@pytest.mark.parametrize("name", TYPES)
def test_it_names_no_host_but_that_of_its_dialect(name):
    text = json.dumps({key: value for key, value in document_schema(name).items() if key != "$schema"})
    assert "://" not in text


@pytest.mark.parametrize("name", documents.ALL)
def test_documents_are_valid(name):
    VALIDATOR.validate(json.loads(json_bytes(documents.ALL[name])))


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.pop("schema"),
        lambda content: content.update(schema="tracer/trace/2"),
        lambda content: content.update(schema="tracer/scenario/1"),
        lambda content: content.pop("legs"),
        lambda content: content["verdict"].update(outcome="vanished"),
        lambda content: content["events"][0].update(kind="telepathy"),
        lambda content: content["legs"][0]["hops"][0].update(at_ns="now"),
    ],
)
def test_other_documents_are_not(change):
    content = json.loads(json_bytes(documents.SPLIT))
    change(content)
    assert not VALIDATOR.is_valid(content)


def test_keys_of_a_later_minor_version_are():
    content = json.loads(json_bytes(documents.SPLIT))
    content["verdict"]["added later"] = 1
    content["schema"] = "tracer/trace/1.3"
    VALIDATOR.validate(content)


def test_a_replays_result_is_valid_and_no_trace():
    replay = ReplayDocument(
        "healthy", "A node as it should be", (ProbeResult("ping", "before", (), documents.HEALTHY),)
    )
    content = json.loads(json_bytes(replay))
    jsonschema.Draft202012Validator(document_schema("tracer/replay")).validate(content)
    assert not VALIDATOR.is_valid(content)
