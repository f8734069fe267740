"""Legacy rules as we read them are, line for line, as iptables-legacy-save prints them."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import msgspec
import pytest
from anonymous_netns import anonymous, run
from legacy_corpus import CORPORA, as_saved, by_table, rules, sets

from tracer.errors import CannotTraceError
from tracer.netfilter.legacy import listed_tables, read_table, read_tables
from tracer.netfilter.ruleset import Table
from tracer.netns import Netns, run_in

IPTABLES = {"ip": "iptables-legacy", "ip6": "ip6tables-legacy"}
# What Calico and kube-proxy cannot do without: a kernel that lacks one is no kernel to test on.
CORE_MATCHES = {"addrtype", "comment", "conntrack", "icmp", "mark", "multiport", "recent", "rpfilter", "set"} | {
    "statistic",
    "tcp",
    "udp",
}
CORE_TARGETS = {"ACCEPT", "DNAT", "DROP", "MARK", "MASQUERADE", "REJECT", "RETURN", "SNAT"}
FILTER_ONLY = "*filter\n:INPUT ACCEPT\n:FORWARD ACCEPT\n:OUTPUT ACCEPT\n-A INPUT -j ACCEPT\nCOMMIT\n"

# Reads the tables, and dies of any attempt to start a program or to open libxtables or one of its plugins.
READS_ALONE = """
import sys

def no_help(event, arguments):
    program = event.startswith(("os.exec", "os.fork", "os.posix_spawn", "os.system", "subprocess."))
    plugin = event in ("open", "ctypes.dlopen") and "xtables" in str(arguments[0])
    if program or plugin:
        raise RuntimeError(f"{event} {arguments}")

sys.addaudithook(no_help)
import msgspec
from tracer.netfilter.legacy import read_tables
sys.stdout.buffer.write(msgspec.json.encode([*read_tables("ip"), *read_tables("ip6")]))
"""


@pytest.fixture
def netns() -> Iterator[Netns]:
    with anonymous("node") as made:
        yield made


def load(netns: Netns, family: str, text: str) -> None:
    run(netns, f"{IPTABLES[family]}-restore", "--wait", stdin=text)


def read(netns: Netns, family: str) -> tuple[Table, ...]:
    return run_in(netns, lambda: read_tables(family))


def saved(netns: Netns, family: str) -> str:
    """Return what iptables-legacy-save prints, without comments and counters, protocols as 1.8.11 prints them."""
    printed = run(netns, f"{IPTABLES[family]}-save")
    printed = re.sub(r"^#.*\n", "", printed, flags=re.MULTILINE)
    printed = re.sub(r"^(:.*) \[\d+:\d+\]$", r"\1", printed, flags=re.MULTILINE)
    return re.sub(r" -p (\S+)", _numbered, printed)


def _numbered(option: re.Match[str]) -> str:
    named = {"tcp", "sctp", "udp", "udplite", "icmp", "ipv6-icmp", "esp", "ah", "mobility-header"}
    if option[1] in named or option[1].isdigit():
        return option[0]
    return f" -p {socket.getprotobyname(option[1])}"


@pytest.mark.parametrize("name, family", CORPORA)
def test_rules_are_as_iptables_saves_them(netns, name, family):
    run(netns, "ipset", "restore", stdin=sets(name))
    load(netns, family, rules(name, family))
    text = as_saved(read(netns, family))
    assert text.splitlines() == saved(netns, family).splitlines()
    assert by_table(text) == by_table(rules(name, family))


def test_kernel_takes_what_calico_and_kube_proxy_need(netns):
    run(netns, "ipset", "restore", stdin=sets("calico"))
    load(netns, "ip", rules("calico", "ip"))
    taken = saved(netns, "ip")
    load(netns, "ip", rules("kube-proxy", "ip"))
    taken += saved(netns, "ip")
    assert set(re.findall(r"-m (\S+)", taken)) >= CORE_MATCHES
    assert set(re.findall(r"-j (\S+)", taken)) >= CORE_TARGETS


def test_no_program_and_no_plugin_is_used(netns):
    run(netns, "ipset", "restore", stdin=sets("extensions"))
    for family in ("ip", "ip6"):
        load(netns, family, rules("extensions", family))
    printed = run_in(
        netns,
        lambda: subprocess.run(
            [sys.executable, "-c", READS_ALONE],
            env={"PATH": "", "PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=subprocess.PIPE,
            check=True,
        ),
    ).stdout
    assert msgspec.json.decode(printed, type=list[Table]) == [*read(netns, "ip"), *read(netns, "ip6")]


def test_reading_creates_no_table(netns):
    load(netns, "ip", FILTER_ONLY)

    def refused() -> tuple[tuple[str, ...], ...]:
        read_tables("ip")
        read_tables("ip6")
        for family, table in (("ip", "mangle"), ("ip", "nat"), ("ip6", "filter")):
            with pytest.raises(CannotTraceError, match=f"{table} .{family}. does not exist"):
                read_table(family, table)
        return listed_tables("ip"), listed_tables("ip6")

    assert run_in(netns, refused) == (("filter",), ())


def test_fresh_namespace_has_no_tables(netns):
    assert read(netns, "ip") == read(netns, "ip6") == ()


@pytest.mark.parametrize(
    "comment",
    [
        b"\xff\xfe not UTF-8",
        b"line\nCOMMIT\n*nat",
        b"\x1b[31mred\x1b[0m",
        b"tab\tquote\" tick' slash\\",
        b"",
        b"x" * 255,
    ],
)
def test_hostile_comment(netns, comment):
    appended = ["iptables-legacy", "--wait", "-A", "INPUT", "-m", "comment", "--comment", comment, "-j", "DROP"]
    run_in(netns, lambda: subprocess.run(appended, check=True))
    printed = run_in(netns, lambda: subprocess.run(["iptables-legacy-save"], stdout=subprocess.PIPE, check=True)).stdout
    (table,) = read(netns, "ip")
    text = table.chains[0].rules[0].text
    assert f"\n{text}\nCOMMIT\n".encode() in printed.decode(errors="backslashreplace").encode()


@pytest.mark.parametrize("name", [b"\xff\x1b[31m", b"--looks-like", b"a;b|c!~$^", b"x" * 28])
def test_hostile_chain_name(netns, name):
    restored = b"*filter\n:" + name + b" - [0:0]\n-A INPUT -j " + name + b"\n-A " + name + b" -j DROP\nCOMMIT\n"
    restore = ["iptables-legacy-restore", "--wait"]
    if run_in(netns, lambda: subprocess.run(restore, input=restored, check=False)).returncode:
        pytest.fail("this iptables refuses the name: take another one")
    shown = name.decode(errors="backslashreplace")
    (table,) = read(netns, "ip")
    assert (table.chains[0].rules[0].target, table.chains[3].name) == (shown, shown)
    assert table.chains[3].rules[0].text == f"-A {shown} -j DROP"


def test_match_that_we_do_not_know_is_shown_by_name_and_size(netns):
    load(netns, "ip", FILTER_ONLY.replace("-A INPUT", "-A INPUT -m time --timestart 01:00"))
    (table,) = read(netns, "ip")
    assert table.chains[0].rules[0].text == "-A INPUT -m time[rev 0, 24 bytes undecoded] -j ACCEPT"


@contextlib.contextmanager
def rewritten(netns: Netns, *texts: str) -> Iterator[None]:
    """Replace the tables without a pause, until the block ends."""
    done = threading.Event()

    def rewrite() -> None:
        while not done.is_set():
            for text in texts:
                load(netns, "ip", text)

    thread = threading.Thread(target=rewrite)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def test_table_that_is_being_replaced_is_read_whole(netns):
    versions = [FILTER_ONLY.replace("-A INPUT -j ACCEPT\n", "-A INPUT -j ACCEPT\n" * count) for count in (1, 4000)]
    load(netns, "ip", versions[0])
    seen = set()
    with rewritten(netns, *versions):
        for count in range(5000):
            seen.add(as_saved(read(netns, "ip")))
            if count >= 60 and len(seen) == len(versions):
                break
    assert seen == set(versions)


def kube_proxy_rules(services: int) -> str:
    """Return the nat rules of so many services with two endpoints, eight rules each."""
    chains, lines = ["KUBE-MARK-MASQ", "KUBE-SERVICES"], []
    for number in range(services):
        service, note = f"KUBE-SVC-{number:016}", f"--comment ns{number}/web:http"
        address = f"10.{96 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"
        chains.append(service)
        match = f"-d {address}/32 -p tcp -m comment {note} -m tcp --dport 80"
        lines += [
            f"-A KUBE-SERVICES {match} -j {service}",
            f"-A {service} ! -s 10.244.0.0/16 {match} -j KUBE-MARK-MASQ",
        ]
        for endpoint, choice in enumerate(("-m statistic --mode random --probability 0.5 ", "")):
            chain = f"KUBE-SEP-{number:015}{endpoint}"
            chains.append(chain)
            lines += [
                f"-A {service} -m comment {note} {choice}-j {chain}",
                f"-A {chain} -s {address}/32 -m comment {note} -j KUBE-MARK-MASQ",
                f"-A {chain} -p tcp -m comment {note} -m tcp -j DNAT --to-destination {address}:8080",
            ]
    return "".join(f"{line}\n" for line in ["*nat", *(f":{name} -" for name in chains), *lines, "COMMIT"])


def test_fifty_thousand_rules_are_read_in_less_than_two_seconds(netns):
    load(netns, "ip", kube_proxy_rules(6250))

    def timed() -> tuple[str, float]:
        start = time.thread_time()
        tables = read_tables("ip")
        return as_saved(tables), time.thread_time() - start

    text, seconds = run_in(netns, timed)
    assert text.count("\n-A ") == 50_000
    assert text == saved(netns, "ip")
    assert seconds < 2
