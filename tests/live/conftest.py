"""Fixtures of the whole trace: the compiled programs once a session, a lab for each test, traces through it."""

from __future__ import annotations

import functools

import pytest
from trace_lab import trace as trace_in
from trace_lab import trace_lab, wait_until_nothing_is_left

from tracer.preparation import preparing


@pytest.fixture(scope="session")
def preparation():
    with preparing() as prepared:
        yield prepared


@pytest.fixture
def traced_lab(preparation):
    """Yield a lab, and find nothing of ours in it at the end."""
    with trace_lab() as lab:
        yield lab
        wait_until_nothing_is_left(preparation, lab)


@pytest.fixture
def trace(preparation, traced_lab):
    """Return the function that traces in this test's lab: trace(SOURCE, DESTINATION, PROTOCOL, …)."""
    return functools.partial(trace_in, preparation, traced_lab)
