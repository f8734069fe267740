from __future__ import annotations

import pytest
from streams import printed

from tracer.report.rows import Row, Verbatim, listed, pointer, row


def shown(renderable, width):
    return printed(lambda value, console: console.print(value, crop=False), renderable, width=width).splitlines()


def test_further_lines_hang_under_the_body():
    assert shown(row("  lead  ", "one two three four five six seven"), 32) == [
        "  lead  one two three four five",
        "        six seven",
    ]


def test_a_word_without_end_is_folded_not_cut():
    lines = shown(row("ab ", "x" * 70), 33)
    assert lines == ["ab " + "x" * 30, "   " + "x" * 30, "   " + "x" * 10]


def test_a_lead_too_wide_to_hang_under_is_part_of_the_body():
    assert shown(row("a lead of more than half the width: ", "body"), 40) == [
        "a lead of more than half the width: body"
    ]


def test_parts_may_have_styles_and_nothing_else_is_markup():
    assert shown(Row((("[b]", "bold"),), (("[red]", "red"), "[/red]")), 40) == ["[b][red][/red]"]


def test_double_width_characters_count_twice():
    assert shown(row("", "界" * 20), 24) == ["界" * 12, "界" * 8]


def test_verbatim_stays_on_one_line():
    assert shown(Verbatim("  ", "word " * 40 + "end"), 20) == ["  " + "word " * 40 + "end"]


@pytest.mark.parametrize("width", [2, 3, 14])
def test_a_pointer_has_its_width(width):
    assert len(pointer(width)) == width


@pytest.mark.parametrize("words, text", [("a", "a"), ("ab", "a and b"), ("abc", "a, b and c")])
def test_listed(words, text):
    assert listed(words) == text
