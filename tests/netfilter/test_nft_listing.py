"""What `nft list` prints, what is said to nft, and what is never said to it."""

import pytest

from tracer.errors import CannotTraceError
from tracer.netfilter.nft import listing

LISTED = """table inet filter { # handle 4
	counter c1 { # handle 3
		packets 0 bytes 0
	}

	set s { # handle 4
		type ipv4_addr
		elements = { 1.1.1.1, 2.2.2.2 }
	}

	chain input { # handle 1
		comment "hi # handle 3"
		type filter hook input priority filter; policy drop;
		ct state established,related accept comment "x # handle 7" # handle 6
		ip saddr { 10.0.0.1, 10.0.0.2, 10.0.0.3 } drop # handle 10
		counter jump sub # handle 16
	}

	chain sub { # handle 2
		return # handle 18
	}

	chain semi;colon # { { # handle 9
		drop # handle 19
	}

	chain empty { # handle 20
	}
}
table ip filter {
	chain input { # handle 1
		drop # handle 2
	}
}
"""


@pytest.fixture
def said(monkeypatch):
    """Take down what nft is told; it answers with LISTED, or refuses what is in the set `keywords`."""
    told = []

    def answer(programs, arguments):
        told.append(list(arguments))
        if set(arguments) & keywords:
            raise CannotTraceError("nft failed with status 1: syntax error")
        return LISTED

    keywords = {"drop", "counter"}
    monkeypatch.setattr(listing, "output_of", answer)
    return told


def test_rules_with_their_handles():
    tables = listing.parse_listing(LISTED)
    assert tables == {
        "inet filter": {
            "input": [
                (6, 'ct state established,related accept comment "x # handle 7"'),
                (10, "ip saddr { 10.0.0.1, 10.0.0.2, 10.0.0.3 } drop"),
                (16, "counter jump sub"),
            ],
            "sub": [(18, "return")],
            "semi;colon # {": [(19, "drop")],
            "empty": [],
        },
        "ip filter": {"input": [(2, "drop")]},
    }


def test_a_rule_on_several_lines_becomes_one_line():
    body = "\t\t counter ip saddr { 10.0.0.1,\n\t\t\t     10.0.0.2 } drop # handle 2\n"
    listed = f"table ip filter {{\n\tchain a {{ # handle 1\n{body}\t}}\n}}\n"
    rules = listing.parse_listing(listed)["ip filter"]["a"]
    assert rules == [(2, "counter ip saddr { 10.0.0.1, 10.0.0.2 } drop")]


@pytest.mark.parametrize(
    "rule, target",
    [
        ("meta mark set 0x10", ""),
        ("tcp dport { 22, 80 } drop", "drop"),
        ("tcp dport vmap { 22 : accept, 80 : jump sub }", ""),
        ("ip saddr 10.0.0.1 counter jump sub", "sub"),
        ("ip protocol tcp goto cali-wl/to.host", "cali-wl/to.host"),
        ('log prefix "accept " drop', "drop"),
        ('log prefix "drop"', ""),
        ('counter accept comment "jump elsewhere"', "accept"),
        ("reject with icmp host-unreachable", "reject"),
        ("ip saddr 10.0.0.0/8 masquerade fully-random", "masquerade"),
        ("dnat to 10.0.0.1:53", "dnat"),
        ("queue num 3 bypass", "queue"),
        ("ip saddr @drop-list return", "return"),
    ],
)
def test_target(rule, target):
    assert listing.target_of(rule) == target


def test_a_chain_is_asked_for_by_name(said):
    assert listing.list_chain("inet", "filter", "sub") == [(18, "return")]
    assert said == [["-a", "-s", "list", "chain", "inet", "filter", "sub"]]


@pytest.mark.parametrize(
    "chain", ["semi;colon # {", 'a"b', "a b", "-f", "1abc", "x;flush ruleset", "", "{", "$x", "a\nb"]
)
def test_a_name_that_nft_would_parse_is_never_said(said, chain):
    if chain == "semi;colon # {":
        assert listing.list_chain("inet", "filter", chain) == [(19, "drop")]
    else:
        with pytest.raises(CannotTraceError, match="does not list the chain"):
            listing.list_chain("inet", "filter", chain)
    assert said == [["-a", "-s", "list", "table", "inet", "filter"]]


def test_a_table_that_cannot_be_said_is_found_in_the_ruleset(said):
    assert listing.list_table("inet", "filter; flush ruleset") == {}
    assert said == [["-a", "-s", "list", "ruleset", "inet"]]


def test_a_keyword_is_found_in_what_holds_it(said):
    with pytest.raises(CannotTraceError, match="does not list the chain 'drop'"):
        listing.list_chain("ip", "filter", "drop")
    assert [arguments[3] for arguments in said] == ["chain", "table"]


def test_nft_that_refuses_everything_is_told(monkeypatch):
    def refuse(programs, arguments):
        raise CannotTraceError("no nft program on this node to print the text of rules")

    monkeypatch.setattr(listing, "output_of", refuse)
    with pytest.raises(CannotTraceError, match="no nft program"):
        listing.list_chain("ip", "filter", "input")
