"""Whose a table of nf_tables is."""

import pytest

from tracer.netfilter.nft.kernel import BaseChain, NftChain
from tracer.netfilter.nft.ownership import backend_of, backend_of_base_chain, is_built_in
from tracer.netfilter.nft.tables import NftTable, chain_backend, names_by_backend

INPUT = BaseChain("INPUT", "filter", "INPUT", 0, "accept")
LOWER = BaseChain("input", "filter", "INPUT", 0, "accept")
LATE = BaseChain("INPUT", "filter", "INPUT", 10, "accept")
MANGLE_OUTPUT = BaseChain("OUTPUT", "route", "OUTPUT", -150, "accept")
ELSEWHERE = BaseChain("INPUT", "filter", "FORWARD", 0, "accept")


@pytest.mark.parametrize(
    "family, table, base_chains, backend",
    [
        ("ip", "filter", [INPUT], "iptables-nft"),
        ("ip6", "filter", [INPUT], "iptables-nft"),
        ("ip", "mangle", [MANGLE_OUTPUT], "iptables-nft"),
        ("ip", "mangle", [], "iptables-nft"),
        ("ip", "filter", [INPUT, LOWER], "iptables-nft"),
        ("ip", "filter", [LOWER], "nftables"),
        ("ip", "filter", [LATE], "nftables"),
        ("ip", "filter", [ELSEWHERE], "nftables"),
        ("ip", "mangle", [INPUT], "nftables"),
        ("ip", "kube-proxy", [INPUT], "nftables"),
        ("inet", "filter", [INPUT], "nftables"),
        ("arp", "filter", [INPUT], "iptables-nft"),
        ("bridge", "filter", [BaseChain("INPUT", "filter", "INPUT", -200, "accept")], "iptables-nft"),
        ("netdev", "filter", [], "nftables"),
    ],
)
def test_backend_of_a_table(family, table, base_chains, backend):
    assert backend_of(family, table, base_chains) == backend


def test_built_in_chains_are_called_as_their_hooks():
    assert is_built_in("ip", "filter", INPUT)
    assert not is_built_in("ip", "filter", ELSEWHERE)
    assert not is_built_in("ip", "nat", INPUT)


def test_a_foreign_base_chain_in_iptables_table_is_native():
    chains = {
        name: NftChain("ip", "filter", name, 0, base)
        for name, base in {"INPUT": INPUT, "input": LOWER, "cali-INPUT": None}.items()
    }
    table = NftTable("ip", "filter", "iptables-nft", chains)
    assert chain_backend(table, "input") == "nftables"
    assert chain_backend(table, "cali-INPUT") == "iptables-nft"
    assert chain_backend(table, "no longer there") == "iptables-nft"
    assert names_by_backend(table) == {"iptables-nft": ["INPUT", "cali-INPUT"], "nftables": ["input"]}


@pytest.mark.parametrize("family", ["ip", "ip6"])
@pytest.mark.parametrize(
    "table, chain, priority",
    [("filter", "INPUT", 0), ("mangle", "OUTPUT", -150), ("nat", "PREROUTING", -100), ("raw", "OUTPUT", -300)],
)
def test_a_base_chain_of_iptables_nft_is_known_by_name_and_priority(family, table, chain, priority):
    assert backend_of_base_chain(family, table, chain, priority) == "iptables-nft"


@pytest.mark.parametrize(
    "family, table, chain, priority",
    [
        ("inet", "filter", "INPUT", 0),
        ("netdev", "filter", "INPUT", 0),
        ("ip", "filter", "input", 0),
        ("ip", "filter", "INPUT", 5),
        ("ip", "filter", "PREROUTING", 0),
        ("ip", "firewalld", "INPUT", 0),
        ("ip", "", "", 0),
    ],
)
def test_any_other_base_chain_is_native(family, table, chain, priority):
    assert backend_of_base_chain(family, table, chain, priority) == "nftables"
