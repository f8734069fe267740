"""A mark that the kernel refuses."""

from __future__ import annotations

import errno
import os

import pytest

from tracer.errors import CannotTraceError
from tracer.netfilter.evidence import mark, nfnetlink
from tracer.netfilter.evidence.signature import ProbeMark
from tracer.netns import Netns


@pytest.mark.parametrize(
    ("code", "way_out"),
    [
        (errno.EPERM, "root"),
        (errno.EOPNOTSUPP, "5.12"),
        (errno.EINVAL, "5.12"),
        (errno.EEXIST, "dmesg"),
    ],
)
def test_refusals_name_the_namespace_and_the_way_out(monkeypatch, code, way_out):
    def refuse(sock, messages):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(nfnetlink, "request", refuse)
    monkeypatch.setattr(mark, "run_in", lambda netns, function: function())
    with pytest.raises(CannotTraceError) as raised:
        mark.mark_flow(Netns("netns:web", "/nowhere", 1), ProbeMark("icmp", 4, bytes(16)))
    assert "netns:web" in raised.value.cause
    assert os.strerror(code) in raised.value.cause
    assert way_out in raised.value.way_out
