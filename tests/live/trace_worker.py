"""A process that traces on request: a line of JSON on standard input, a line with the document on standard output.

It compiles the BPF programs once, as the tool does, and says `ready` when it has. Where a trace fails, the line is
the error, as a JSON text. test_trace_at_once.py starts it.
"""

from __future__ import annotations

import sys

import msgspec

from tracer.endpoints.model import NetnsEndpoint
from tracer.endpoints.parse import parse_endpoint
from tracer.errors import TracerError
from tracer.netns import open_netns
from tracer.preparation import preparing
from tracer.tracing import TraceRequest, trace_flow

ENDPOINTS = ("source", "destination", "node")


def endpoint(place):
    return NetnsEndpoint(*place) if isinstance(place, list) else parse_endpoint(place)


def request(line):
    values = msgspec.json.decode(line)
    known = tuple(open_netns(*place) for place in values.pop("known"))
    return TraceRequest(**values | {name: endpoint(values[name]) for name in ENDPOINTS}, known=known)


def main():
    with preparing() as preparation:
        preparation.programs.result()
        answer(b'"ready"')
        for line in sys.stdin.buffer:
            try:
                answer(msgspec.json.encode(trace_flow(request(line), preparation, lambda step: None)))
            except TracerError as error:
                answer(msgspec.json.encode(str(error)))


def answer(data):
    sys.stdout.buffer.write(data + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
