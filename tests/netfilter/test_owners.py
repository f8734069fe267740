from __future__ import annotations

import pytest

from tracer.netfilter.owners import known_owners, owner_of


@pytest.mark.parametrize(
    "chain, owner",
    [
        ("cali-from-wl-dispatch", "calico"),
        ("KUBE-SVC-TCOU7JCQXEZGVUNU", "kube-proxy"),
        ("KUBE-FIREWALL", "kubelet"),
        ("KUBE-FW-CEZPIJSAUFW5MYPQ", "kube-proxy"),
        ("KUBE-FORWARD", "kube-proxy"),
        ("KUBE-IPTABLES-HINT", "kubelet"),
        ("KUBE-ROUTER-FORWARD", "kube-router"),
        ("DOCKER-ISOLATION-STAGE-1", "docker"),
        ("DOCKER-USER", "unknown"),
        ("CNI-HOSTPORT-DNAT", "cni"),
        ("FLANNEL-FWD", "flannel"),
        ("CILIUM_FORWARD", "cilium"),
        ("WEAVE-NPC", "weave"),
        ("ISTIO_INBOUND", "istio"),
        ("ANTREA-FORWARD", "antrea"),
        ("INPUT_ZONES", "firewalld"),
        ("ufw-before-input", "ufw"),
        ("ufw6-user-input", "ufw"),
        ("f2b-sshd", "fail2ban"),
        ("LIBVIRT_FWI", "libvirt"),
        ("ts-input", "tailscale"),
        ("INPUT", "unknown"),
        ("my-cali-chain", "unknown"),
        ("", "unknown"),
    ],
)
def test_chain(chain, owner):
    assert owner_of(chain) == owner


@pytest.mark.parametrize(
    "text, owner",
    [
        ('-A FORWARD -m comment --comment "cali:S93hcgKJrXEqnTfs" -m mark --mark 0x1/0x1 -j ACCEPT', "calico"),
        ('-A FORWARD -m comment --comment hello -m comment --comment "cali:S93h" -j ACCEPT', "calico"),
        ('-A POSTROUTING -m comment --comment "flanneld masq" -j RETURN', "flannel"),
        ('ip saddr 10.0.0.1 counter accept comment "cali:S93hcgKJrXEqnTfs"', "calico"),
        ('-A FORWARD -m comment --comment "not a cali: rule" -j ACCEPT', "unknown"),
        ('-A FORWARD -m comment --comment "x\\" --comment cali:forged" -j ACCEPT', "unknown"),
        ("-A FORWARD -j ACCEPT", "unknown"),
    ],
)
def test_comment(text, owner):
    assert owner_of("FORWARD", text) == owner


def test_rule_of_a_base_chain_belongs_to_the_owner_of_the_chain_that_it_leads_to():
    assert owner_of("INPUT", "-A INPUT -j KUBE-FIREWALL", "KUBE-FIREWALL") == "kubelet"


def test_rule_belongs_to_the_owner_of_its_own_chain_first():
    assert owner_of("KUBE-SERVICES", "-A KUBE-SERVICES -j cali-x", "cali-x") == "kube-proxy"


@pytest.mark.parametrize(
    "table, owner", [("firewalld", "firewalld"), ("kube-proxy", "kube-proxy"), ("filter", "unknown")]
)
def test_native_table(table, owner):
    assert owner_of("filter_INPUT", "drop", table=table) == owner


def test_no_two_owners_have_the_same_sign():
    for kind in ("chains", "comments", "tables"):
        signs = [sign for owner in known_owners().values() for sign in getattr(owner, kind)]
        assert len(signs) == len(set(signs))
