"""The text that BCC gets: our files in one, and every number of the kernel's that they ask for."""

from __future__ import annotations

import re

import pytest

from tracer import resources
from tracer.capture.compiler import OFFSETS, source_text

FOLDER = resources.folder("bpf")
HEADERS = sorted(path.name for path in FOLDER.glob("*.h"))
SOURCES = sorted(path.name for path in FOLDER.glob("*.c"))
DEFINITION = re.compile(r"static |int |struct \w+ \{|enum |#define |BPF_")
FUNCTION = re.compile(r"^static __always_inline .*?(\w+)\(", re.M)


@pytest.mark.parametrize("name", HEADERS + SOURCES)
def test_whatever_a_file_defines_is_there_once(name):
    lines = source_text(*SOURCES).splitlines()
    defined = filter(DEFINITION.match, (FOLDER / name).read_text().splitlines())
    found = {line: lines.count(line) for line in defined}
    assert found
    assert set(found.values()) == {1}


def test_no_include_of_ours_is_left():
    assert "#include" not in source_text(*SOURCES)


@pytest.mark.parametrize("name", SOURCES)
def test_a_function_is_defined_before_it_is_called(name):
    text = source_text(name)
    for function in FUNCTION.findall(text):
        first = re.search(rf"\b{function}\(", text)
        line = text[text.rindex("\n", 0, first.start()) + 1 : first.end()]
        assert line.startswith("static "), function


def test_the_kernel_is_asked_for_what_the_programs_use_and_nothing_else():
    assert set(re.findall(r"\bOFF_[A-Z]\w+", source_text(*SOURCES))) == set(OFFSETS)


def test_a_file_that_is_not_there():
    with pytest.raises(FileNotFoundError, match=r"nothing\.c"):
        source_text("nothing.c")
