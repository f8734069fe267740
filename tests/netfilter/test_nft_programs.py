"""Programs that print rules: which one runs, and what is said when none does."""

import pytest

from tracer.errors import CannotTraceError
from tracer.netfilter.nft import programs


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Put a shell script in place of a program; nothing else can be found."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(programs, "_ALSO", ())

    def put(name, script):
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)

    return put


def test_arguments_are_not_parsed_by_a_shell(program):
    program("nft", 'printf "<%s>" "$@"')
    assert programs.output_of([["nft"]], ["a b", "$(id)", "; id", ""]) == "<a b><$(id)><; id><>"


def test_the_first_that_is_there_is_run_with_its_own_arguments(program):
    program("xtables-nft-multi", 'printf "%s " multi "$@"')
    names = [["iptables-nft"], ["xtables-nft-multi", "iptables-nft"]]
    assert programs.output_of(names, ["-S"]) == "multi iptables-nft -S "
    program("iptables-nft", 'printf "%s " "$@"')
    assert programs.output_of(names, ["-S"]) == "-S "


def test_a_program_is_found_where_root_has_it(program, tmp_path, monkeypatch):
    program("nft", "echo found")
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr(programs, "_ALSO", (str(tmp_path),))
    assert programs.output_of([["nft"]], []) == "found\n"


def test_no_program_is_told(program):
    with pytest.raises(CannotTraceError, match="no nft program on this node") as error:
        programs.output_of([["nft"]], [])
    assert "Install" in error.value.way_out


def test_a_failure_is_told_with_the_first_thing_said(program):
    program("iptables-nft", 'echo "chain is incompatible, use nft" >&2; echo more >&2; exit 4')
    with pytest.raises(CannotTraceError, match=r"failed with status 4: chain is incompatible, use nft$"):
        programs.output_of([["iptables-nft"]], [])


def test_a_warning_is_no_failure(program):
    program("iptables-nft", 'echo "# Warning: iptables-legacy tables present" >&2; echo "-P INPUT ACCEPT"')
    assert programs.output_of([["iptables-nft"]], []) == "-P INPUT ACCEPT\n"


def test_a_program_that_hangs_is_ended(program, monkeypatch):
    monkeypatch.setattr(programs, "_TIMEOUT_S", 0.05)
    program("nft", "read line < /dev/zero")
    with pytest.raises(CannotTraceError, match="nft did not answer"):
        programs.output_of([["nft"]], [])


def test_bytes_that_are_no_text_are_escaped(program):
    program("nft", r"printf '\377'")
    assert programs.output_of([["nft"]], []) == r"\xff"
