"""A small scenario to change one thing of."""

from __future__ import annotations

import copy
from typing import Any

import yaml

MINIMAL = yaml.safe_load("""
schema: tracer/scenario/1
name: minimal
title: Two pods, one of each family
story: A test.
symptom: None.
cause: None.
nodes:
  - name: node
    sysctls: {net.ipv4.ip_forward: 1}
    bridges: [{device: cni0, addresses: [10.1.0.1/24]}]
    routes: [{to: 0.0.0.0/0, via: 192.0.2.2, device: eth0}]
    neighbours: [{address: 192.0.2.2, device: eth0, mac: "02:00:00:00:00:01"}]
    services: [{protocol: udp, port: 7, address: 192.0.2.1}, {protocol: tcp, port: 7}]
pods:
  - name: web
    addresses: [10.1.0.2/24]
    host_device: veth0
    wiring: {kind: bridged, bridge: cni0}
  - name: six
    addresses: ["fd00::2/128"]
    host_device: cali0
    wiring: {kind: calico}
  - name: point
    addresses: [10.2.0.2/24]
    host_device: veth1
    wiring: {kind: routed, gateways: [10.2.0.1]}
hosts:
  - name: outside
links:
  - ends:
      - {netns: node, device: eth0, addresses: [192.0.2.1/24]}
      - {netns: outside, device: eth0, addresses: [192.0.2.2/24]}
history:
  - {do: load-sets, file: sets}
  - {do: load-rules, backend: iptables-legacy, file: rules, fault: true}
  - {do: load-rules, backend: nftables, file: nft}
probes:
  - name: first
    source: web
    destination: node
    expect: {outcome: request_lost, culprit: {kind: rule, chain: INPUT}}
remedy:
  - {do: flush, backend: iptables-legacy, tables: [filter]}
""")
FILES = {
    "sets": "create a hash:ip\nadd a 10.0.0.1\n",
    "rules": "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -j DROP\nCOMMIT\n",
    "nft": "table ip a {\n}\n",
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """Return the scenario with the value at `pods.0.name` set, or taken away when it is None."""
    scenario = copy.deepcopy(MINIMAL)
    *way, last = (int(step) if step.isdigit() else step for step in path.split("."))
    part = scenario
    for step in way:
        part = part[step]
    if value is None:
        del part[last]
    elif isinstance(part, list) and last == len(part):
        part.append(value)
    else:
        part[last] = value
    return scenario


def text_of(scenario: dict[str, Any]) -> str:
    """Return the scenario as YAML without anchors."""
    return yaml.dump(copy.deepcopy(scenario), Dumper=_NoAnchors)


class _NoAnchors(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True
