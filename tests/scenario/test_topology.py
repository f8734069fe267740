"""From a scenario to what each namespace holds."""

from __future__ import annotations

import ipaddress

import pytest
from scenario.minimal import MINIMAL, changed, text_of

from tracer.scenario.load import decode
from tracer.scenario.model import Route
from tracer.scenario.topology import Device, Listener, plan


@pytest.fixture
def netnses():
    return {netns.name: netns for netns in plan(decode(text_of(MINIMAL), "it")).netnses}


def devices(netns):
    return {device.name: device for device in netns.devices}


def test_a_calico_pod_has_a_link_local_gateway(netnses):
    (eth0,) = netnses["six"].devices
    assert eth0.addresses[0] == "fd00::2/128"
    assert ipaddress.ip_interface(eth0.addresses[1]).is_link_local
    assert netnses["six"].routes == (Route(to="::/0", via="fe80::ecee:eeff:feee:eeee", device="eth0"),)
    cali0 = devices(netnses["node"])["cali0"]
    assert cali0 == Device("cali0", "veth", "ee:ee:ee:ee:ee:ee", ("fe80::ecee:eeff:feee:eeee/64",))
    assert Route(to="fd00::2/128", device="cali0") in netnses["node"].routes
    assert ("net/ipv6/conf/cali0/proxy_ndp", 1) in netnses["node"].device_sysctls


def test_a_calico_pod_of_the_other_family_has_its_gateway_by_proxy_arp():
    scenario = decode(text_of(changed("pods.1.addresses", ["10.3.0.2/32"])), "it")
    node, *_ = netnses = plan(scenario).netnses
    (six,) = (netns for netns in netnses if netns.name == "six")
    assert six.routes == (
        Route(to="169.254.1.1/32", device="eth0"),
        Route(to="0.0.0.0/0", via="169.254.1.1", device="eth0"),
    )
    assert {("net/ipv4/conf/cali0/proxy_arp", 1), ("net/ipv4/neigh/cali0/proxy_delay", 0)} <= set(node.device_sysctls)
    assert devices(node)["cali0"].addresses == ()


def test_a_routed_pod_reaches_all_through_the_node_s_end(netnses):
    (eth0,) = netnses["point"].devices
    assert eth0.addresses == ("10.2.0.2/32",)
    assert netnses["point"].routes == (
        Route(to="10.2.0.1/32", device="eth0"),
        Route(to="0.0.0.0/0", via="10.2.0.1", device="eth0"),
    )
    assert devices(netnses["node"])["veth1"].addresses == ("10.2.0.1/32",)
    assert Route(to="10.2.0.2/32", device="veth1") in netnses["node"].routes


def test_a_bridged_pod_keeps_its_subnet(netnses):
    (eth0,) = netnses["web"].devices
    assert eth0.addresses == ("10.1.0.2/24",)
    assert netnses["web"].routes == (Route(to="0.0.0.0/0", via="10.1.0.1", device="eth0"),)
    assert devices(netnses["node"])["veth0"].bridge == "cni0"
    assert netnses["node"].devices[-1] == devices(netnses["node"])["cni0"]


def test_veths_are_born_in_both_namespaces():
    veths = plan(decode(text_of(MINIMAL), "it")).veths
    ends = [(f"{here.netns}/{here.device}", f"{there.netns}/{there.device}") for here, there in veths]
    assert ends == [
        ("node/veth0", "web/eth0"),
        ("node/cali0", "six/eth0"),
        ("node/veth1", "point/eth0"),
        ("node/eth0", "outside/eth0"),
    ]
    macs = [end.mac for pair in veths for end in pair]
    assert len(set(macs)) == len(macs)
    assert macs == [end.mac for pair in plan(decode(text_of(MINIMAL), "it")).veths for end in pair]
    assert all(int(mac[:2], 16) & 3 == 2 for mac in macs)


def test_services_listen_on_every_address_or_on_the_one_they_name(netnses):
    assert netnses["node"].listeners == (
        Listener("udp", "192.0.2.1", 7),
        Listener("tcp", "192.0.2.1", 7),
        Listener("tcp", "10.2.0.1", 7),
        Listener("tcp", "10.1.0.1", 7),
    )


def test_addresses_come_without_link_local_ones(netnses):
    assert netnses["six"].addresses(6) == ("fd00::2",)
    assert netnses["six"].addresses(4) == ()
    assert netnses["node"].addresses(6) == ()


def test_sysctls_of_devices_wait_for_them():
    settings = {"net.ipv4.ip_forward": 1, "net.ipv4.conf.veth0.rp_filter": 2, "net.ipv4.conf.all.rp_filter": 2}
    node, *_ = plan(decode(text_of(changed("nodes.0.sysctls", settings)), "it")).netnses
    assert ("net.ipv4.conf.veth0.rp_filter", 2) in node.device_sysctls
    assert {("net.ipv4.ip_forward", 1), ("net.ipv4.conf.all.rp_filter", 2)} <= set(node.sysctls)
    assert not set(node.sysctls) & set(node.device_sysctls)


def test_ipv6_is_on_where_it_is_used(netnses):
    on = {("net.ipv6.conf.all.disable_ipv6", 0), ("net.ipv6.conf.default.disable_ipv6", 0)}
    assert [name for name, netns in netnses.items() if on <= set(netns.sysctls)] == ["node", "six"]
