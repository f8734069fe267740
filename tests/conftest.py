"""Live tests: skipped only where the machine cannot run them, and never in CI.

A test that is skipped proves nothing, and nobody reads the list of skips. So a live test may be skipped for
one reason alone, which is asked of the machine here; any other skip of it is a failure, and with CI=true
every skip is.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import os
from collections.abc import Generator
from pathlib import Path

import pytest

LIVE = Path(__file__).parent / "live"
BTF = Path("/sys/kernel/btf/vmlinux")
BPF_MAP_TYPE_ARRAY = 2  # include/uapi/linux/bpf.h

# Where nft, ip and their like are; a root shell opened with su may lack it.
os.environ["PATH"] = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"


@functools.cache
def why_not_live() -> str | None:
    """Return the reason why this machine cannot run live tests, None when it can."""
    if os.geteuid() != 0:
        return "not root"
    if importlib.util.find_spec("bcc") is None:
        return "no bcc for this Python"
    if not BTF.exists():
        return f"no {BTF}: the kernel has no BTF"
    refusal = _bpf_refusal()
    return f"the kernel refuses BPF: {os.strerror(refusal)}" if refusal else None


def _bpf_refusal() -> int:
    """Return the errno with which the kernel refuses a small BPF map (bpf(2)), 0 when it makes one."""
    from bcc.libbcc import lib

    descriptor = lib.bcc_create_map(BPF_MAP_TYPE_ARRAY, b"probe", 4, 4, 1, 0)
    if descriptor < 0:
        return ctypes.get_errno()
    os.close(descriptor)
    return 0


def _skip_is_a_failure() -> bool:
    return os.environ.get("CI") == "true" or why_not_live() is None


@pytest.hookimpl(tryfirst=True)  # before -m deselects by mark
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all of tests/live, and skip what is marked where the machine cannot run it."""
    for item in items:
        if item.path.is_relative_to(LIVE):
            item.add_marker("live")
        if item.get_closest_marker("live") and (reason := why_not_live()):
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn the skip of a live test into a failure."""
    report = yield
    if item.get_closest_marker("live") and report.skipped and not hasattr(report, "wasxfail"):
        _fail(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Turn the skip of a whole file of live tests into a failure."""
    report = yield
    if report.skipped and collector.path.is_relative_to(LIVE):
        _fail(report)
    return report


def _fail(report: pytest.TestReport | pytest.CollectReport) -> None:
    if _skip_is_a_failure():
        report.outcome = "failed"
        _, _, reason = report.longrepr
        report.longrepr = f"a live test was skipped: {reason}"
