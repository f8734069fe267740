from __future__ import annotations

import re
from pathlib import Path

import documents
import pytest
from msgspec.structs import replace
from streams import SGR, printed, printed_on_terminal

from tracer.document import Capture
from tracer.report.console import out_and_err
from tracer.report.terminal import print_trace

EXAMPLE = Path(__file__).parent / "split-80.txt"
POINTER = "─► "


def squeezed(text):
    return re.sub(r"\s+", "", text)


def lines_with(text, document, **options):
    return [line for line in printed(print_trace, document, **options).splitlines() if text in line]


def test_the_flagship_reads_as_the_example_does():
    assert printed(print_trace, documents.SPLIT) == EXAMPLE.read_text(encoding="utf-8")


@pytest.mark.parametrize("width", [40, 80, 120, 200])
@pytest.mark.parametrize("name", documents.ALL)
def test_the_verdict_comes_first_and_whole(name, width):
    document = documents.ALL[name]
    if document is documents.HOSTILE:
        return
    first = printed(print_trace, document, width=width).split("\n\n")[0]
    assert " ".join(first.split()) == document.verdict.summary


@pytest.mark.parametrize("width", [30, 80, 200])
@pytest.mark.parametrize("name", documents.ALL)
def test_lines_keep_to_the_width_but_for_commands(name, width):
    commands = [line.removeprefix("$ ") for finding in documents.ALL[name].findings for line in finding.remedy]
    for line in printed(print_trace, documents.ALL[name], width=width).splitlines():
        assert len(line) <= width or line.strip() in commands or documents.ALL[name] is documents.HOSTILE
        assert line == line.rstrip()


@pytest.mark.parametrize("width", [30, 80, 200])
def test_no_rule_is_cut(width):
    text = squeezed(printed(print_trace, documents.SPLIT, width=width))
    deciding = [leg.hops[-2].decisions[-1].rule for leg in documents.SPLIT.legs[1:]]
    assert deciding
    for rule in (*deciding, documents.SPLIT.verdict.culprit.rule):
        assert squeezed(rule) in text


@pytest.mark.parametrize(
    "name, marked",
    [
        ("split", "drop    iptables-legacy filter: INPUT > cali-INPUT >"),
        ("policy_drop", "drop    iptables-legacy filter: FORWARD, by policy"),
        ("rejected", "drop    nftables inet lockdown: forward, rule 3"),
        ("kernel_drop", "+70 µs  freed by ip_rcv_finish_core+0x1a4: IP_RPFILTER"),
        ("eliminated", "+82 µs  INPUT"),
        ("no_reply", "+45 µs  INPUT"),
        ("not_sent", "+0 µs  socket: refused Network is unreachable"),
    ],
)
def test_the_culprit_is_marked_once_where_the_packet_ended(name, marked):
    [line] = lines_with(POINTER, documents.ALL[name])
    assert line.partition(POINTER)[2] == marked


@pytest.mark.parametrize("name", ["healthy", "service"])
def test_nothing_is_marked_on_what_arrived(name):
    assert not lines_with("►", documents.ALL[name])
    assert not lines_with("Culprit", documents.ALL[name])


def test_the_culprit_says_all_that_is_known():
    text = printed(print_trace, documents.SPLIT, width=200)
    block = text.split("\n\n")[1].splitlines()
    assert block == [
        "Culprit",
        f"  rule        {documents.SPLIT.verdict.culprit.rule}",
        "  where       iptables-legacy, table filter, chain cali-from-wl-dispatch, rule 2",
        "  owner       calico",
        "  hook        INPUT in node, device cali7f3a90c2d41",
        "  freed by    nf_hook_slow+0x7d: NETFILTER_DROP",
        "  confidence  observed",
    ]


@pytest.mark.parametrize(
    "changes, where",
    [
        ({"family": "ip6"}, "iptables-legacy, table filter (ip6tables), chain cali-from-wl-dispatch, rule 2"),
        ({"backend": "nftables", "family": "inet"}, "nftables, table inet filter, chain cali-from-wl-dispatch, rule 2"),
        ({"position": None, "handle": 17}, "iptables-legacy, table filter, chain cali-from-wl-dispatch, handle 17"),
        ({"backend": None, "family": None, "chain": None, "position": None}, "table filter"),
    ],
)
def test_the_culprits_place_is_named_as_its_own_tool_would(changes, where):
    culprit = replace(documents.SPLIT.verdict.culprit, **changes)
    document = replace(documents.SPLIT, verdict=replace(documents.SPLIT.verdict, culprit=culprit))
    assert [line.split(None, 1)[1] for line in lines_with("  where ", document, width=200)] == [where]


def test_an_inferred_culprit_says_from_what():
    text = " ".join(printed(print_trace, documents.ELIMINATED).split())
    assert f"confidence inferred: {documents.ELIMINATED.verdict.basis}" in text


def test_a_healthy_ping_is_short():
    path = printed(print_trace, documents.HEALTHY).split("\n\n")[1:3]
    assert sum(len(leg.splitlines()) for leg in path) <= 24


def test_hops_without_decisions_share_a_line():
    assert lines_with("ingress eth0, PREROUTING, INPUT", documents.HEALTHY)
    assert lines_with("OUTPUT (eth0), POSTROUTING, egress eth0", documents.HEALTHY)


def test_a_device_is_named_anew_in_each_namespace():
    hops = tuple(
        replace(hop, netns=netns) for netns in ("netns:a", "netns:b") for hop in documents.SPLIT.legs[1].hops[:1]
    )
    document = replace(documents.HEALTHY, legs=(replace(documents.HEALTHY.legs[1], hops=hops),))
    assert len(lines_with("OUTPUT (eth0)", document)) == 2


def test_a_kernel_function_is_told_once():
    block = printed(print_trace, documents.KERNEL_DROP).split("\n\n")[1]
    assert block.count("ip_rcv_finish_core+0x1a4") == 1
    assert "  reason      IP_RPFILTER" in block.splitlines()


def test_backends_that_decide_alike_share_a_line():
    both = "iptables-nft and iptables-legacy mangle: PREROUTING > cali-PREROUTING, rule 1  [calico]"
    assert lines_with(both, documents.SPLIT, width=200)
    assert lines_with("by policy: raw, mangle, nat, filter (iptables-nft, iptables-legacy)", documents.SPLIT, width=200)


def test_backends_that_do_not_decide_alike_have_their_own_lines_in_order():
    lines = printed(print_trace, documents.SPLIT, width=200).splitlines()
    decided = [line for line in lines if "filter: INPUT" in line]
    assert [line.partition(" filter:")[0].split()[-2:] for line in decided] == [
        ["accept", "iptables-nft"],
        ["drop", "iptables-legacy"],
    ]


def test_rules_of_the_leg_that_arrived_are_named_and_those_of_the_lost_one_told():
    assert lines_with("iptables-nft mangle: cali-PREROUTING, rule 1", documents.HEALTHY)
    assert not lines_with("RELATED,ESTABLISHED", documents.HEALTHY)
    assert lines_with("RELATED,ESTABLISHED", documents.SPLIT)


def test_all_rules_tells_every_rule_in_order():
    text = squeezed(printed(print_trace, documents.HEALTHY, all_rules=True))
    at = 0
    for hop in (hop for leg in documents.HEALTHY.legs for hop in leg.hops):
        for decision in hop.decisions:
            at = text.index(squeezed(decision.rule or f"return: {decision.chain}"), at)


def test_long_paths_of_chains_are_abbreviated_but_for_the_culprits():
    hop = documents.SPLIT.legs[1].hops[5]
    nft = [decision for decision in hop.decisions if decision.backend == "iptables-nft"]
    longer = [replace(nft[1], chain=f"user-{number}") for number in range(5)]
    marked = [replace(decision, backend="iptables-legacy") for decision in longer]
    hop = replace(hop, decisions=(*nft[:2], *longer, nft[-1], *marked, hop.decisions[-1]))
    leg = replace(documents.SPLIT.legs[1], hops=(*documents.SPLIT.legs[1].hops[:5], hop))
    document = replace(documents.SPLIT, legs=(documents.SPLIT.legs[0], leg))
    assert lines_with("INPUT > user-0 > (3 more) > user-4 > cali-fw-cali7f3a90c2d41, rule 1", document, width=200)
    assert lines_with("user-0 > user-1 > user-2 > user-3 > user-4 > cali-from-wl-dispatch, rule 2", document, width=200)


def test_address_translation_shows_before_and_after():
    lines = printed(print_trace, documents.SERVICE).splitlines()
    nat = [line.strip() for line in lines if line.strip().startswith("NAT ")]
    assert nat == [
        "NAT     destination 10.96.0.10:53 → 192.168.86.67:53",
        "NAT     source 192.168.86.67:53 → 10.96.0.10:53",
    ]


def test_translation_shows_also_where_the_packet_was_first_seen():
    translated = documents.SERVICE.legs[0].hops[3]
    leg = replace(documents.SERVICE.legs[0], hops=(translated,))
    assert lines_with("NAT     destination 10.96.0.10:53 →", replace(documents.SERVICE, legs=(leg,)))


def test_the_rule_that_translated_is_told():
    assert squeezed("-j DNAT --to-destination 192.168.86.67:53") in squeezed(printed(print_trace, documents.SERVICE))


def test_times_count_from_the_sending_of_the_probe():
    assert lines_with("    +0 µs  socket: sent", documents.SERVICE)
    assert lines_with(" +1.01 ms  egress cali7f3a90c2d41", documents.SERVICE)
    assert lines_with("  +2.00 s  socket: received", documents.SERVICE)


def test_an_address_as_endpoint_is_not_said_twice():
    assert lines_with("netns:web (192.168.86.66:40210) → 10.96.0.10:53, dns", documents.SERVICE)


def test_commands_of_the_remedy_stand_alone_to_be_copied():
    command = documents.SPLIT.findings[0].remedy[1].removeprefix("$ ")
    assert f"      {command}" in printed(print_trace, documents.SPLIT, width=40).splitlines()


def test_losses_are_told():
    assert lines_with("3 events found no room and were lost", documents.ELIMINATED)
    assert lines_with(
        "1 event found no room", replace(documents.SPLIT, capture=replace(documents.SPLIT.capture, lost=1))
    )
    assert not lines_with("lost:", replace(documents.HEALTHY, findings=()))


def test_changes_and_notes_are_told():
    assert lines_with("node: net.netfilter.nf_log.2: NONE → nfnetlink_log, restored", documents.SPLIT)
    left = replace(documents.SPLIT.capture.changes[0], restored=False)
    assert lines_with(
        "NOT RESTORED", replace(documents.SPLIT, capture=replace(documents.SPLIT.capture, changes=(left,)))
    )
    assert lines_with("note: NFLOG group 0 is held by ulogd (pid 812)", documents.ELIMINATED)


def test_a_trace_that_saw_nothing_is_still_told():
    nothing = Capture("link", "tcx", (), 0, 0, ())
    document = replace(documents.NO_REPLY, legs=(), hooks=(), events=(), capture=nothing)
    text = printed(print_trace, document)
    assert text.startswith("No reply:")
    assert "0 events" in text


# Streams


@pytest.mark.parametrize("name", documents.ALL)
def test_no_escape_sequence_where_there_is_no_terminal(name):
    assert "\x1b" not in printed(print_trace, documents.ALL[name])


@pytest.mark.parametrize(
    "name, colour", [("healthy", "1;32"), ("split", "1;31"), ("rejected", "1;33"), ("no_reply", "1;33")]
)
def test_a_terminal_shows_the_outcome_in_its_colour(name, colour):
    outcome, colon, _ = documents.ALL[name].verdict.summary.partition(":")
    assert printed_on_terminal(print_trace, documents.ALL[name]).startswith(f"\x1b[{colour}m{outcome}{colon}\x1b[0m")


@pytest.mark.parametrize("name", documents.ALL)
def test_a_terminal_gets_the_same_text(name):
    on_terminal = printed_on_terminal(print_trace, documents.ALL[name])
    assert SGR.sub("", on_terminal) == printed(print_trace, documents.ALL[name])


def test_no_color(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    codes = set(SGR.findall(printed_on_terminal(print_trace, documents.SPLIT)))
    assert codes
    assert not any(re.search(r"[34]\d", code) for code in codes)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
@pytest.mark.parametrize("name", documents.ALL)
def test_a_stream_without_utf8_gets_ascii(name, encoding):
    text = printed(print_trace, documents.ALL[name], encoding=encoding)
    assert text.isascii()
    assert printed(print_trace, documents.ALL[name]).count("► ") == len(re.findall(r"-> (?=drop|\+)", text))


def test_what_ascii_cannot_show_is_escaped():
    named = replace(documents.SPLIT.verdict.culprit, owner="käse→")
    document = replace(documents.SPLIT, verdict=replace(documents.SPLIT.verdict, culprit=named))
    assert r"owner       k\xe4se->" in printed(print_trace, document, encoding="ascii")
    assert "owner       käse→" in printed(print_trace, document)


def test_text_and_progress_make_room_for_a_document_on_stdout(capsys):
    for path, stream in (("-", "err"), ("t.json", "out"), (None, "out")):
        out, err = out_and_err(path)
        out.print("text")
        err.print("progress")
        captured = capsys.readouterr()
        assert "text" in getattr(captured, stream)
        assert "progress" in captured.err


def test_strings_on_the_console_are_no_markup():
    assert printed(lambda text, console: console.print(text), "[red]x[/red] :smile:") == "[red]x[/red] :smile:\n"
