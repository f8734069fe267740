"""Run the programs that print rules, from argument lists, in the calling thread's network namespace."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence

from tracer.errors import CannotTraceError

_TIMEOUT_S = 30.0
_ALSO = ("/usr/sbin", "/sbin", "/usr/local/sbin")  # not on everybody's PATH


def output_of(programs: Sequence[Sequence[str]], arguments: Sequence[str]) -> str:
    r"""Return what the first of `programs` that this machine has prints, run with `arguments`.

    A program may bring arguments of its own. Bytes that are not UTF-8 come as `\xNN`. Raise CannotTraceError when
    there is no such program, or when it fails.
    """
    command = [*_first_there(programs), *arguments]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=_TIMEOUT_S,
            env={**os.environ, "LC_ALL": "C"},
        )
    except subprocess.TimeoutExpired as error:
        raise CannotTraceError(f"{programs[0][0]} did not answer in {_TIMEOUT_S:.0f} s") from error
    if done.returncode != 0:
        said = done.stderr.decode(errors="backslashreplace").strip().partition("\n")[0]
        raise CannotTraceError(f"{programs[0][0]} failed with status {done.returncode}: {said}")
    return done.stdout.decode(errors="backslashreplace")


def _first_there(programs: Sequence[Sequence[str]]) -> list[str]:
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), *_ALSO))
    for name, *arguments in programs:
        found = shutil.which(name, path=path)
        if found:
            return [found, *arguments]
    raise CannotTraceError(
        f"no {programs[0][0]} program on this node to print the text of rules",
        "Install the package that has it (nftables, or iptables)",
    )
