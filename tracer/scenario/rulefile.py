"""What the rule files of a scenario may say: rules for the lab's namespaces, and nothing else.

A scenario may come from somebody else. iptables-restore would run a program named by `--modprobe` and load extensions
that act on the whole machine; ipset and nft would write and read files. So what is not plainly a rule is refused here,
before any program sees it. Where a check differs from the program's own parser it is the stricter one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

MAX_BYTES = 16 * 1024 * 1024

# Both programs read lines into a buffer with fgets(3) and take the rest of a longer line for a line of its own:
# 10240 bytes in iptables/iptables-restore.c, 1024 in ipset's lib/ipset.c.
_XTABLES_LINE = 10000
_IPSET_LINE = 1000

# A word as iptables/xshared.c splits it: a quote may open within a word, and ends it where it closes.
_WORD = re.compile(r'([^ \t"]*)"((?:[^"\\]|\\.)*)(?:"|$)|([^ \t"]+)')
_NFT_TOKEN = re.compile(r'"[^"]*"|#[^\n]*|\binclude\b')
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_COUNTERS = re.compile(r"^\[\d+:\d+\] ")
_SHORT_OPTION = re.compile(r"^-[A-Za-z0-9]")

_COMMANDS = frozenset({"-A", "-D", "-F", "-I", "-N", "-P", "-R", "-X"})
_SHORT_OPTIONS = _COMMANDS | {"-d", "-f", "-g", "-i", "-j", "-m", "-o", "-p", "-s"}
# getopt_long(3) takes any unambiguous beginning for the whole option.
_IN_FULL_ONLY = ("--match", "--modprobe", "--jump", "--goto")
# Matches of the kernel itself (net/netfilter, net/ipv4/netfilter, net/ipv6/netfilter) that keep to their namespace.
_MATCHES = re.compile(
    "addrtype|ah|cgroup|cluster|comment|connbytes|connlabel|connlimit|connmark|conntrack|cpu|dccp|devgroup|dscp|dst|ecn"
    "|esp|eui64|frag|hashlimit|hbh|helper|hl|icmp|icmp6|iprange|ipv6header|ipvs|length|limit|mac|mark|mh|multiport|osf"
    "|owner|physdev|pkttype|policy|quota|realm|recent|rpfilter|rt|sctp|set|socket|state|statistic|string|tcp|tcpmss"
    "|time|tos|ttl|u32|udp"
)
# Targets that leave the namespace: the machine's LEDs, idle timers, audit log, SysRq key, cluster ARP, estimators.
_MACHINE_TARGETS = frozenset({"AUDIT", "CLUSTERIP", "IDLETIMER", "LED", "RATEEST", "SYSRQ"})


@dataclass(frozen=True)
class Refusal:
    """Why a line is not accepted."""

    line: int
    why: str


def check_xtables(text: str) -> Refusal | None:
    """Return what is wrong with a file for iptables-restore, None when nothing is."""
    return _check_lines(text, _XTABLES_LINE, _xtables_line)


def check_ipset(text: str) -> Refusal | None:
    """Return what is wrong with a file for `ipset restore`, None when nothing is."""
    return _check_lines(text, _IPSET_LINE, _ipset_line)


def check_nft(text: str) -> Refusal | None:
    """Return what is wrong with a file for `nft -f`, None when nothing is."""
    for token in _NFT_TOKEN.finditer(text):
        if token.group() == "include":
            return Refusal(_line_number(text, token), "it includes another file")
    return _control_character(text)


def _check_lines(text: str, longest: int, check: Callable[[str], str | None]) -> Refusal | None:
    if refusal := _control_character(text):
        return refusal
    for number, line in enumerate(text.split("\n"), 1):
        if len(line.encode()) > longest:
            return Refusal(number, f"it is longer than {longest} bytes")
        if line and not line.startswith("#") and (why := check(line)):
            return Refusal(number, why)
    return None


def _control_character(text: str) -> Refusal | None:
    found = _CONTROL.search(text)
    return Refusal(_line_number(text, found), "it has a control character") if found else None


def _line_number(text: str, found: re.Match[str]) -> int:
    return text.count("\n", 0, found.start()) + 1


def _xtables_line(line: str) -> str | None:
    if line == "COMMIT" or line.startswith(("*", ":")):
        return None
    words = list(_words(_COUNTERS.sub("", line)))
    if not words or words[0] not in _COMMANDS:
        return "it is neither a table, a chain, a rule nor COMMIT"
    # Which words are values and which options only iptables knows, so a comment that looks like an option is refused.
    return next((why for pair in pairwise(["", *words]) if (why := _xtables_word(*pair))), None)


def _xtables_word(before: str, word: str) -> str | None:
    if _SHORT_OPTION.match(word) and word not in _SHORT_OPTIONS:
        return f"the option {word} is not for scenarios"
    option, equals, _ = word.partition("=")
    if option == "--modprobe" or _abbreviates(option) or (equals and option in _IN_FULL_ONLY):
        return f"the option {word} is not for scenarios"
    if before in {"-m", "--match"} and not _MATCHES.fullmatch(word):
        return f"the match {word} is not for scenarios"
    if word in _MACHINE_TARGETS:
        return f"the target {word} acts on the whole machine"
    return None


def _abbreviates(option: str) -> bool:
    """Tell whether getopt_long(3) could take the word for an option that is looked for in full, or with `=`."""
    return len(option) > 2 and any(full.startswith(option) and full != option for full in _IN_FULL_ONLY)


def _ipset_line(line: str) -> str | None:
    if "\\" in line:
        return "it has a backslash"
    words = list(_words(line))
    if not words or words[0] not in {"create", "add"}:
        return "it is neither create nor add"
    options = [word for word in words if word.startswith("-") and word != "-exist"]
    return f"the option {options[0]} is not for scenarios" if options else None


def _words(line: str) -> Iterator[str]:
    for match in _WORD.finditer(line):
        opening, quoted, plain = match.groups()
        yield plain if plain is not None else opening + re.sub(r"\\(.)", r"\1", quoted)
