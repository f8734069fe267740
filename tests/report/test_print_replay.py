from __future__ import annotations

from replays import DIFFERING_REPLAY, SPLIT_REPLAY
from streams import printed, printed_on_terminal

from tracer.report.replay import print_replay


def test_each_probe_has_a_line():
    lines = printed(print_replay, SPLIT_REPLAY).splitlines()
    assert lines[0] == "6 of 6 probes did what the scenario expects"
    assert lines[4:13] == [
        "Before the remedy",
        "  ok       node-to-new  reply lost  node to netns:new-pod, icmp",
        "  ok       new-to-dns   reply lost  node to netns:new-pod, icmp",
        "  ok       old-to-node  delivered   node to netns:new-pod, icmp",
        "",
        "After the remedy",
        "  ok       node-to-new  delivered   node to netns:new-pod, icmp",
        "  ok       new-to-dns   delivered   node to netns:new-pod, icmp",
        "  ok       old-to-node  delivered   node to netns:new-pod, icmp",
    ]


def test_a_culprit_is_told_once_for_all_that_it_ended():
    text = printed(print_replay, SPLIT_REPLAY, width=120)
    assert text.count("Culprit of") == 1
    assert "Culprit of node-to-new and new-to-dns\n" in text
    assert "hook        INPUT in node, device cali7f3a90c2d41; FORWARD in node, device eth9\n" in text


def test_a_finding_is_told_once():
    assert printed(print_replay, SPLIT_REPLAY).count("[stale-rules]") == 1


def test_what_differs_is_told_below_the_probe():
    lines = printed(print_replay, DIFFERING_REPLAY).splitlines()
    assert lines[0] == "1 of 2 probes did what the scenario expects"
    at = lines.index("  differs  node-to-new  reply lost    node to netns:new-pod, icmp")
    assert lines[at + 1].strip() == "outcome should be delivered, and is reply_lost"


def test_losses_are_told_with_their_probe():
    assert "3 events found no room and were lost" in printed(print_replay, DIFFERING_REPLAY)
    assert "found no room" not in printed(print_replay, SPLIT_REPLAY)


def test_without_a_remedy_there_is_one_list_of_probes():
    text = printed(print_replay, DIFFERING_REPLAY)
    assert "\nProbes\n" in text
    assert "remedy\n" not in text.lower().split("culprit")[0]


def test_the_result_has_its_colour():
    assert printed_on_terminal(print_replay, SPLIT_REPLAY).startswith("\x1b[1;32m6 of 6")
    assert printed_on_terminal(print_replay, DIFFERING_REPLAY).startswith("\x1b[1;31m1 of 2")
