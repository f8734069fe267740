from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable

import pytest

from tracer.errors import CannotTraceError
from tracer.netfilter import legacy
from tracer.netfilter.legacy import sockopt
from tracer.netfilter.legacy.sockopt import ATTEMPTS, GET_ENTRIES, GET_INFO, GETINFO, fetch

SIZE = 64


class Kernel:
    """Answers GET_INFO, and GET_ENTRIES with the errors given; the last answer for ever."""

    def __init__(self, *errors: int) -> None:
        self.errors = list(errors)
        self.forward_at = [16]
        self.asked: list[int] = []

    def __call__(self, _socket, _level, option, buffer) -> int:
        self.asked.append(option)
        if option == GET_INFO:
            forward_at = _next(self.forward_at)
            GETINFO.pack_into(buffer, 0, b"filter", 0b01110, 0, 8, forward_at, 24, 0, *[0] * 5, 4, SIZE)
            return 0
        return _next(self.errors)


def _next(answers: list[int]) -> int:
    return answers.pop(0) if len(answers) > 1 else answers[0]


@pytest.fixture
def kernel(monkeypatch) -> Callable[..., Kernel]:
    def answer(*errors: int) -> Kernel:
        answering = Kernel(*errors)
        monkeypatch.setattr(sockopt, "_getsockopt", answering)
        monkeypatch.setattr(sockopt, "_raw_socket", lambda _family: contextlib.nullcontext())
        return answering

    return answer


def test_table_that_changes_between_the_questions_is_asked_for_again(kernel):
    asked = kernel(errno.EAGAIN, errno.EAGAIN, 0).asked
    assert len(fetch("ip", "filter").entries) == SIZE
    assert asked == [GET_INFO, GET_ENTRIES] * 3 + [GET_INFO]


def test_table_that_is_replaced_by_one_of_the_same_size_is_asked_for_again(kernel):
    answering = kernel(0)
    answering.forward_at = [16, 24, 16, 16]
    assert fetch("ip", "filter").hook_entries["FORWARD"] == 16
    assert answering.asked == [GET_INFO, GET_ENTRIES, GET_INFO] * 2


def test_table_that_never_holds_still_is_given_up(kernel):
    asked = kernel(errno.EAGAIN).asked
    with pytest.raises(CannotTraceError, match="changed each of the"):
        fetch("ip", "filter")
    assert len(asked) == 2 * ATTEMPTS


def test_refusal_is_told(kernel):
    kernel(errno.EPERM)
    with pytest.raises(CannotTraceError, match=r"legacy table filter \(ip\): Operation not permitted"):
        fetch("ip", "filter")


def test_only_valid_hooks_have_an_entry(kernel):
    kernel(0)
    assert fetch("ip", "filter").hook_entries == {"INPUT": 8, "FORWARD": 16, "OUTPUT": 24}


def test_table_that_is_not_listed_is_not_asked_for(kernel, monkeypatch):
    asked = kernel(0).asked
    monkeypatch.setattr(legacy, "listed_tables", lambda _family: ("filter",))
    with pytest.raises(CannotTraceError, match=r"mangle \(ip6\) does not exist"):
        legacy.read_table("ip6", "mangle")
    assert asked == []


def test_no_names_file_is_no_tables(tmp_path, monkeypatch):
    monkeypatch.setattr(sockopt, "NAMES", str(tmp_path / "{family}_tables_names"))
    (tmp_path / "ip6_tables_names").write_text("filter\nnat\n")
    assert sockopt.listed_tables("ip") == ()
    assert sockopt.listed_tables("ip6") == ("filter", "nat")


def test_names_file_of_somebody_else_is_told(monkeypatch):
    def refuse(_path):
        raise PermissionError

    monkeypatch.setattr(sockopt.Path, "read_text", refuse)
    with pytest.raises(CannotTraceError, match="ip_tables_names"):
        sockopt.listed_tables("ip")
