from __future__ import annotations

import contextlib
import copy
import io
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import documents
import pytest
from msgspec.structs import replace

from tracer.document_file import json_bytes, read_document, read_struct, write_document, write_json
from tracer.errors import UsageError


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "trace.json")


def written(path, content):
    Path(path).write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


def as_json(document):
    return json.loads(json_bytes(document))


def places(value, path="$"):
    """Yield every place in a JSON value: its container, its key, and its path as msgspec writes it."""
    keys = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in keys:
        where = f"{path}[...]" if isinstance(key, int) else f"{path}.{key}"
        yield value, key, where
        yield from places(inner, where)


@pytest.mark.parametrize("name", documents.ALL)
def test_what_is_written_is_read_back(name, path):
    document = documents.ALL[name]
    write_document(document, path)
    assert read_document(path) == document


def test_packets_are_base64(path):
    write_document(documents.HEALTHY, path)
    assert b'"packet": "RQAAHAABAABAAaXeClYAAcCoVkMIAPf+AAEAAA=="' in Path(path).read_bytes()


def test_an_older_file_is_replaced_whole(path):
    written(path, b"x" * 1_000_000)
    write_document(documents.HEALTHY, path)
    assert read_document(path) == documents.HEALTHY


def test_a_device_is_written_to_and_stays_one():
    write_document(documents.HEALTHY, os.devnull)
    assert Path(os.devnull).stat().st_rdev == os.makedev(1, 3)


def test_dash_writes_the_document_alone_to_stdout(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    write_document(documents.HEALTHY, "-")
    assert json.loads(stream.buffer.getvalue()) == as_json(documents.HEALTHY)


@pytest.mark.parametrize(
    "name, reason",
    [("no/such/folder/t.json", "No such file"), (".", "Is a directory"), ("a\0b", "null")],
)
def test_where_nothing_can_be_written(name, reason, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=f"cannot write to .*{reason}") as error:
        write_json([], name)
    assert error.value.way_out


def test_a_full_disk_is_told():
    with pytest.raises(UsageError, match="cannot write to /dev/full: No space left"):
        write_document(documents.HEALTHY, "/dev/full")


@pytest.mark.parametrize("value", ["short enough to wait in a buffer", "x" * 100_000])
def test_a_closed_pipe_is_told(value, monkeypatch):
    read_end, write_end = os.pipe()
    os.close(read_end)
    pipe = os.fdopen(write_end, "wb")
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=pipe))
    with pytest.raises(UsageError, match="cannot write to standard output: Broken pipe"):
        write_json(value, "-")
    with contextlib.suppress(BrokenPipeError):
        pipe.close()


@pytest.mark.parametrize("name, reason", [("missing.json", "No such file"), (".", "Is a directory"), ("a\0b", "null")])
def test_what_cannot_be_opened(name, reason, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=f"cannot read .*{reason}") as error:
        read_document(name)
    assert "--json FILE" in error.value.way_out


@pytest.mark.parametrize("content", [b"", b" \n"])
def test_empty(content, path):
    with pytest.raises(UsageError, match=r"trace\.json is empty"):
        read_document(written(path, content))


def test_cut_off_anywhere(path):
    whole = json_bytes(documents.SPLIT).rstrip()
    for length in [*range(1, len(whole), 101), len(whole) - 1]:
        with pytest.raises(UsageError, match=rf"trace\.json is cut off after {length} bytes"):
            read_document(written(path, whole[:length]))


@pytest.mark.parametrize(
    "content",
    [
        b"Reply lost: the reply",
        b"\x89PNG\r\n",
        b"{} {}",
        b'{"schema": "tracer/trace/1\xff"}',
        b'{"deep": ' + b"[" * 100_000,
    ],
)
def test_not_json(content, path):
    with pytest.raises(UsageError, match=r"trace\.json is not JSON: ."):
        read_document(written(path, content))


@pytest.mark.parametrize("content", [{}, {"verdict": {}}, {"schema": None}])
def test_json_of_somebody_else(content, path):
    with pytest.raises(UsageError, match='has no "schema"'):
        read_document(written(path, content))


@pytest.mark.parametrize("content", [[], 1, {"schema": 1}])
def test_json_that_is_no_document(content, path):
    with pytest.raises(UsageError, match="is no document as tracer/trace/1 describes it: Expected"):
        read_document(written(path, content))


@pytest.mark.parametrize(
    "schema", ["tracer/trace/2", "tracer/trace/10", "tracer/trace/1.", "tracer/trace/1.2.3", "tracer/trace/1\n"]
)
def test_another_version_is_refused_by_its_name(schema, path):
    with pytest.raises(UsageError, match=f"is written in {schema}, and this version of tracer reads tracer/trace/1"):
        read_document(written(path, as_json(documents.HEALTHY) | {"schema": schema}))


@pytest.mark.parametrize("schema", ["tracer/scenario/1", "", "tracer/trace", "x tracer/trace/1"])
def test_another_kind_of_document_is_refused_by_its_name(schema, path):
    with pytest.raises(UsageError, match=f'another kind of document: its schema is "{schema}", not tracer/trace/1'):
        read_document(written(path, as_json(documents.HEALTHY) | {"schema": schema}))


def test_other_schemas_are_read_by_their_name(path):
    kind = type(documents.HEALTHY)
    renamed = replace(documents.HEALTHY, schema="tracer/other/1")
    assert read_struct(written(path, json_bytes(renamed)), kind, "tracer/other") == renamed


@pytest.mark.parametrize("schema", ["tracer/trace/1", "tracer/trace/1.0", "tracer/trace/1.27"])
def test_a_minor_version_may_add_keys_anywhere(schema, path):
    content = as_json(documents.SPLIT) | {"schema": schema}
    for container, key, _ in list(places(content)):
        if isinstance(container[key], dict):
            container[key]["added later"] = [{"deep": None}]
    assert read_document(written(path, content)) == replace(documents.SPLIT, schema=schema)


def test_a_wrong_type_anywhere_is_refused_with_its_place(path):
    content = as_json(documents.SPLIT)
    tried = set()
    for _, _, where in places(content):
        if where in tried or where == "$.schema":
            continue
        tried.add(where)
        broken = copy.deepcopy(content)
        container, key, _ = next(place for place in places(broken) if place[2] == where)
        container[key] = True if not isinstance(container[key], bool) else "true"
        with pytest.raises(UsageError) as error:
            read_document(written(path, broken))
        assert "`$" in error.value.cause, where
    assert len(tried) > 100


@pytest.mark.parametrize(
    "change, complaint",
    [
        (lambda content: content.pop("verdict"), "missing required field `verdict`"),
        (lambda content: content["verdict"].update(outcome="vanished"), r"'vanished' - at `\$.verdict.outcome`"),
        (lambda content: content["events"][0].update(kind="telepathy"), r"'telepathy' - at `\$.events\[0\].kind`"),
        (lambda content: content["events"][0].update(packet="%"), r"base64.*`\$.events\[0\].packet`"),
        (lambda content: content["legs"][1]["hops"][2].update(at_ns="1"), r"`int`, got `str` - at `\$.legs\[1\].hops"),
    ],
)
def test_the_complaint_names_what_is_wrong(change, complaint, path):
    content = as_json(documents.SPLIT)
    change(content)
    with pytest.raises(UsageError, match=complaint):
        read_document(written(path, content))
