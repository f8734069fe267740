"""What a terminal shows of a diagnosis."""

from __future__ import annotations

from typing import get_args

from streams import SGR, printed, printed_on_terminal

from tracer.doctor.model import Check, Part, conclude
from tracer.document import Host
from tracer.report.doctor import print_doctor

HOST = Host("node-1", "6.1.0", "0.1.0", "2026-01-01T00:00:00.000+00:00")
ROOT = Check("root", "machine", needed=True, state="ok", found="root")
LINK = Check("link", "netfilter", needed=False, state="ok", found="linked")
TCX = Check("tcx", "veth", needed=False, state="ok", found="linked to a veth")
NO_LINK = Check("link", "netfilter", needed=False, state="lacking", found="it is refused", way_out="Use another kernel")
NO_BTF = Check("BTF", "machine", needed=True, state="lacking", found="there is none", way_out="Build it in")
NO_BPF = Check("BPF programs", "bpf", needed=True, state="unknown", found="not tried without BTF")
NO_NFT = Check("nft", "texts", needed=False, state="lacking", found="it is not there", way_out="Install nftables")


def show(*checks, **options):
    return printed(print_doctor, conclude(HOST, checks), **options)


def test_a_machine_that_can_trace():
    assert show(ROOT, LINK, TCX) == (
        "node-1 (tracer 0.1.0) can trace: netfilter is watched by link, devices by tcx.\n"
        "\n"
        "Machine\n"
        "  ok       root  root\n"
        "\n"
        "Ways to watch netfilter (one is enough)\n"
        "  ok       link  linked\n"
        "\n"
        "Ways to watch devices (one is enough)\n"
        "  ok       tcx   linked to a veth\n"
    )


def test_what_is_lacking_comes_first_and_has_a_way_out():
    lines = show(ROOT, NO_BTF, NO_BPF, NO_LINK, TCX, NO_NFT, width=100).splitlines()
    assert lines[0] == "node-1 (tracer 0.1.0) cannot trace: it lacks BTF and every way to watch netfilter."
    at = lines.index("  lacking  BTF           there is none")
    assert lines[at + 1].strip() == "Build it in"
    assert "  unknown  BPF programs  not tried without BTF" in lines


def test_means_that_were_not_tried_are_not_called_lacking():
    untried = Check("link", "netfilter", needed=False, state="unknown", found="not tried without BTF")
    assert show(NO_BTF, untried, TCX).splitlines()[0].endswith("cannot trace: it lacks BTF.")


def test_only_what_is_needed_is_red():
    shown = printed_on_terminal(print_doctor, conclude(HOST, (ROOT, NO_BTF, LINK, TCX, NO_NFT)))
    styles = {SGR.sub("", line).split()[1]: SGR.findall(line)[0] for line in shown.splitlines() if "lacking" in line}
    assert styles["BTF"] != styles["nft"]


def test_untrusted_text_is_escaped():
    hostile = Check("NFLOG", "rules", needed=True, state="lacking", found="\x1b[2J[red]ulogd holds it")
    assert r"\x1b[2J[red]ulogd holds it" in show(hostile, LINK, TCX)


def test_every_part_has_a_title():
    for part in get_args(Part):
        shown = show(Check("name", part, needed=False, state="ok", found="found"), LINK, TCX)
        assert "found" in shown
