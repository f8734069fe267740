"""What cannot be meant is answered with one sentence, which names it, and the way out: exit status 2."""

from __future__ import annotations

import pytest
from tracer_command import NOT_ROOT, complaint, tracer

ENDPOINTS = "An endpoint is `node`, `netns:NAME`, `netns:/PATH`, `pid:N` or an IP address"
HELP = "`tracer trace --help` shows how it is called"


@pytest.mark.parametrize(
    "arguments, cause, way_out",
    [
        ([], "missing command.", "`tracer --help`"),
        (["bogus"], "no such command 'bogus'.", "`tracer --help`"),
        (["--bogus"], "no such option '--bogus'.", "`tracer --help`"),
        (["trace"], "missing argument 'SOURCE'.", HELP),
        (["trace", "node"], "missing argument 'DESTINATION'.", HELP),
        (["trace", "node", "10.0.0.1", "more"], "got unexpected extra argument (more)", HELP),
        (["trace", "node", "10.0.0.1", "--bogus"], "no such option '--bogus'.", HELP),
        (["trace", "node", "10.0.0.1", "--tim", "1"], "no such option '--tim'.", HELP),
        (["trace", "node", "10.0.0.1", "--json"], "option '--json' requires an argument.", "--help"),
        (["trace", "node", "10.0.0.1", "--port", "http"], "invalid value for '--port': 'http' is not", HELP),
        (["trace", "node", "10.0.0.1", "--timeout", "soon"], "invalid value for '--timeout': 'soon' is not", HELP),
        (["trace", "node", "10.0.0.1", "--timeout", "0"], "between 0 and 3600 seconds", HELP),
        (["trace", "node", "10.0.0.1", "--timeout", "-1"], "between 0 and 3600 seconds", HELP),
        (["trace", "node", "10.0.0.1", "--timeout", "nan"], "between 0 and 3600 seconds", HELP),
        (["trace", "node", "10.0.0.1", "--timeout", "inf"], "between 0 and 3600 seconds", HELP),
        (["cleanup", "all"], "got unexpected extra argument (all)", "`tracer cleanup --help`"),
        (["replay"], "missing argument 'SCENARIO'.", "`tracer replay --help`"),
        (["trace", "here", "10.0.0.1"], "unknown endpoint 'here'", ENDPOINTS),
        (["trace", "vm:1", "10.0.0.1"], "unknown endpoint 'vm:1'", ENDPOINTS),
        (["trace", "", "10.0.0.1"], "unknown endpoint ''", ENDPOINTS),
        (["trace", "node", "10.0.0.1.2"], "unknown endpoint '10.0.0.1.2'", ENDPOINTS),
        (["trace", "node", "\x1b[31m"], r"'\x1b[31m' is no endpoint", ENDPOINTS),
        (["trace", "node", "netns:"], "'netns:' names no network namespace", "/run/netns"),
        (["trace", "node", "netns:../x"], "'netns:../x' names no network namespace", "/run/netns"),
        (["trace", "node", "pid:one"], "'pid:one' names no process", "pid:1234"),
        (["trace", "node", "pid:0"], "'pid:0' names no process", "pid:1234"),
        (["trace", "node", "127.0.0.1"], "127.0.0.1 is a loopback address", "an address that routes lead to"),
        (["trace", "node", "224.0.0.1"], "224.0.0.1 is a multicast address", "an address that routes lead to"),
        (["trace", "node", "10.0.0.1", "--node", "there"], "unknown endpoint 'there'", ENDPOINTS),
        (["trace", "node", "10.0.0.1", "--protocol", "sctp"], "unknown protocol 'sctp'", "icmp, udp, tcp, dns"),
        (["trace", "node", "10.0.0.1", "--port", "80"], "ICMP has no ports", "say udp or tcp"),
        (["trace", "node", "10.0.0.1", "--protocol", "tcp"], "tcp needs a port", "--port 80"),
        (["trace", "node", "10.0.0.1", "--protocol", "udp", "--port", "0"], "port 0 is out of", "from 1 to 65535"),
        (["trace", "node", "10.0.0.1", "--protocol", "udp", "--port", "65536"], "port 65536 is", "from 1 to 65535"),
        (["hooks", "--node", "there"], "unknown endpoint 'there'", ENDPOINTS),
        (["replay", "no-such"], "there is no scenario 'no-such'", "calico-backend-split, "),
        (["replay", "/no/such"], "there is no scenario '/no/such'", "Give a folder with a scenario.yaml"),
        (["replay", "/dev/null"], "there is no scenario '/dev/null'", "Give a folder with a scenario.yaml"),
    ],
)
def test_bad_usage(arguments, cause, way_out):
    said = complaint(tracer(*arguments), 2)
    assert cause in said
    assert said.index(way_out) > said.index(cause)


@pytest.mark.parametrize("arguments", [["trace", "node", "10.0.0.1"], ["replay", "healthy"], ["hooks"]])
def test_not_root(arguments):
    said = complaint(tracer(*arguments, code=NOT_ROOT), 3)
    assert said.startswith("tracer needs root")
    assert "sudo" in said


@pytest.mark.parametrize(
    "old, new, names",
    [
        ("name: healthy", "name: [", "line "),
        ("name: healthy", "name: healthy\ncolour: red", "colour"),
        ("name: healthy", "name: 7", "name: expected `str`, got `int`"),
        ("rules/nft-calico.rules", "rules/gone.rules", "cannot read rules/gone.rules"),
    ],
)
def test_bad_scenario(recorded, old, new, names):
    path = recorded / "scenario.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    said = complaint(tracer("replay", str(recorded)), 2)
    assert str(path) in said
    assert names in said


@pytest.mark.parametrize(
    "content, cause",
    [
        (b'{"schema": "tracer/replay/1"', "is cut off after 28 bytes"),
        (b'{"schema": "tracer/trace/1"}', 'its schema is "tracer/trace/1", not tracer/replay/1'),
    ],
)
def test_bad_recording(recorded, content, cause):
    (recorded / "recording.json").write_bytes(content)
    said = complaint(tracer("replay", str(recorded), "--recorded"), 2)
    assert f"{recorded / 'recording.json'} " in said
    assert cause in said


def test_no_recording(recorded):
    (recorded / "recording.json").unlink()
    said = complaint(tracer("replay", str(recorded), "--recorded"), 2)
    assert f"{recorded} has no recording" in said
    assert "--json" in said


@pytest.mark.parametrize("path", ["/dev/null/document.json", "{folder}/none/document.json", "{folder}", "x" * 300, ""])
def test_document_that_cannot_be_written_is_refused_at_once(recorded, path):
    path = path.format(folder=recorded)
    said = complaint(tracer("replay", str(recorded), "--recorded", "--json", path), 2)
    assert said.startswith(f"cannot write to {path or 'a file without a name'}: ")
