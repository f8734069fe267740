"""Hand rules to a backend's own program inside a namespace, and turn its complaint into one sentence.

The program runs from a thread of that namespace, with its text on standard input and never through a shell.
"""

from __future__ import annotations

import re
import subprocess
from typing import TypeAlias

from tracer.errors import CannotTraceError, UsageError
from tracer.netfilter.ruleset import Backend, Family
from tracer.netns import Netns, run_in
from tracer.text import printable

Rules: TypeAlias = tuple[Backend, Family]

_PROGRAMS: dict[Rules, str] = {
    ("iptables-legacy", "ip"): "iptables-legacy-restore",
    ("iptables-legacy", "ip6"): "ip6tables-legacy-restore",
    ("iptables-nft", "ip"): "iptables-nft-restore",
    ("iptables-nft", "ip6"): "ip6tables-nft-restore",
}
_PACKAGES = {"ipset": "ipset", "nft": "nftables"}
_BUILTIN_CHAINS = {
    "raw": ("PREROUTING", "OUTPUT"),
    "mangle": ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"),
    "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
    "security": ("INPUT", "FORWARD", "OUTPUT"),
}
_LINE = re.compile(r"(?:\bline:? |^/dev/stdin:)(\d+)", re.MULTILINE)
_PREFIX = re.compile(r"^(?:[\w-]+ v[\d.]+(?: \(\w+\))?: |/dev/stdin:[\d:-]+: (?:Error: )?|Error in line \d+: )+")
_SECONDS = 60

# The kernel keeps legacy tables for each namespace, the program locks for the whole machine. This file is the
# namespace that the program runs in, so its lock is held against those in it only, and nothing is left in /run.
_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin",
    "LC_ALL": "C",
    "XTABLES_LOCKFILE": "/proc/self/ns/net",
}


def load_rules(netns: Netns, rules: Rules, text: str, origin: str) -> None:
    """Add the rules in `text` to what the backend has; `origin` is what errors call the text."""
    _run(netns, ["nft", "-f", "-"] if rules[0] == "nftables" else _restore(rules, "--noflush"), text, origin)


def load_sets(netns: Netns, text: str, origin: str) -> None:
    """Create the IP sets in `text`."""
    _run(netns, ["ipset", "restore"], text, origin)


def flush(netns: Netns, rules: Rules, tables: tuple[str, ...]) -> None:
    """Leave a table of iptables as an untouched one is, delete one of nft."""
    backend, family = rules
    if backend == "nftables":
        text = "".join(f"delete table {family} {table}\n" for table in tables)
        _run(netns, ["nft", "-f", "-"], text, f"flush of {backend}")
        return
    text = "".join(_xtables(table, *(f":{chain} ACCEPT [0:0]" for chain in _BUILTIN_CHAINS[table])) for table in tables)
    _run(netns, _restore(rules), text, f"flush of {backend}")


def delete_chains(netns: Netns, rules: Rules, table: str, chains: tuple[str, ...]) -> None:
    """Empty all the chains, then delete them, so that they may jump to each other."""
    backend, family = rules
    if backend == "nftables":
        lines = [f"{verb} chain {family} {table} {chain}" for verb in ("flush", "delete") for chain in chains]
        text = "\n".join(lines) + "\n"
    else:
        text = _xtables(table, *(f"{option} {chain}" for option in ("-F", "-X") for chain in chains))
    load_rules(netns, rules, text, f"delete-chains in {backend} {table}")


def set_policy(netns: Netns, rules: Rules, table: str, chain: str, policy: str) -> None:
    """Set the policy of a base chain."""
    backend, family = rules
    if backend == "nftables":
        text = f"add chain {family} {table} {chain} {{ policy {policy.lower()} ; }}\n"
    else:
        text = _xtables(table, f"-P {chain} {policy}")
    load_rules(netns, rules, text, f"set-policy in {backend} {table}")


def _restore(rules: Rules, *arguments: str) -> list[str]:
    # Legacy programs without XTABLES_LOCKFILE (before 1.8.5) wait for the machine's own lock.
    wait = ["--wait", str(_SECONDS)] if rules[0] == "iptables-legacy" else []
    return [_PROGRAMS[rules], *wait, *arguments]


def _xtables(table: str, *lines: str) -> str:
    return "\n".join((f"*{table}", *lines, "COMMIT", ""))


def _run(netns: Netns, command: list[str], text: str, origin: str) -> None:
    try:
        done = run_in(
            netns,
            lambda: subprocess.run(
                command, input=text.encode(), capture_output=True, env=_ENVIRONMENT, timeout=_SECONDS, check=False
            ),
        )
    except FileNotFoundError as error:
        package = _PACKAGES.get(command[0], "iptables")
        raise CannotTraceError(f"{command[0]} is not on this machine", f"Install the package {package}") from error
    except subprocess.TimeoutExpired as error:
        raise CannotTraceError(
            f"{command[0]} did not end within {_SECONDS} seconds on {origin}", "Try again with fewer rules"
        ) from error
    if done.returncode != 0:
        line, complaint = _complaint(done.stderr.decode(errors="replace"))
        where = f"{origin}, line {line}" if line else origin
        raise UsageError(
            f"{where}: {command[0]} refuses it: {complaint}",
            "Correct the line, or use a machine that has what it needs (kernel module, extension of iptables)",
        )


def _complaint(stderr: str) -> tuple[int | None, str]:
    """Return the line number and the first sentence of a program's complaint, without its name and version."""
    found = _LINE.search(stderr)
    lines = (_PREFIX.sub("", line).strip() for line in stderr.splitlines() if "Warning" not in line)
    sentence = next((line for line in lines if line), "it gives no reason")
    return int(found.group(1)) if found else None, printable(sentence[:300].rstrip("."))
