"""What a scenario's folder must hold, and what is said when it does not."""

from __future__ import annotations

import os

import pytest
from scenario.minimal import FILES, MINIMAL, changed, text_of

from tracer.errors import UsageError
from tracer.scenario.load import available, decode, find, load
from tracer.scenario.model import LoadRules, Scenario


@pytest.fixture
def folder(tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "scenario.yaml").write_text(text_of(MINIMAL))
    return tmp_path


def refusal(folder):
    with pytest.raises(UsageError) as raised:
        load(folder)
    message = str(raised.value)
    assert raised.value.way_out
    assert "\n" not in message
    return message


def test_a_scenario_is_read_with_its_files(folder):
    (folder / "recording.json").write_text("no document")
    loaded = load(folder)
    assert loaded.files == FILES
    assert loaded.scenario.history[1] == LoadRules(backend="iptables-legacy", file="rules", fault=True)
    assert loaded.scenario.probes[0].expect_after.outcome == "delivered"


@pytest.mark.parametrize("name", available())
def test_every_scenario_that_comes_along_loads(name):
    loaded = load(find(name))
    assert isinstance(loaded.scenario, Scenario)
    assert loaded.scenario.name == name == loaded.folder.name
    used = {step.file for step in (*loaded.scenario.history, *loaded.scenario.remedy) if hasattr(step, "file")}
    files = {str(path.relative_to(loaded.folder)) for path in (loaded.folder / "rules").rglob("*")}
    assert files == used


def test_a_scenario_is_found_by_name_folder_and_file(folder, monkeypatch):
    assert find("healthy").name == "healthy"
    assert find(str(folder)) == folder
    assert find(str(folder / "scenario.yaml")) == folder
    monkeypatch.chdir(folder)
    assert find(".").resolve() == folder
    for spec in ("nowhere", "../nowhere", "/nowhere"):
        with pytest.raises(UsageError, match=rf"there is no scenario '{spec}'\. Give .* healthy"):
            find(spec)


WRONG_VALUES = [
    ("color", "red", "top level: object contains unknown field `color`. Compare with /"),
    ("pods.0.adresses", [], "pods[0]: object contains unknown field `adresses`. Did you mean `addresses`?"),
    ("schema", "tracer/scenario/2", "schema: invalid enum value 'tracer/scenario/2'"),
    ("title", None, "top level: object missing required field `title`"),
    ("nodes", [], "nodes: expected `array` of length >= 1"),
    ("probes", [], "probes: expected `array` of length >= 1"),
    ("pods.0.name", "Web", "pods[0].name: expected `str` matching regex"),
    ("pods.0.name", "web\n", "pods[0].name: expected `str` matching regex"),
    ("pods.0.host_device", "veth0\n", "pods[0].host_device: expected `str` matching regex"),
    ("remedy.0.tables.0", "filter\n", "remedy[0].tables[0]: expected `str` matching regex"),
    ("story", "\x1b[2J", "story: expected `str` matching regex"),
    ("pods.0.name", "a b", "pods[0].name: expected `str` matching regex"),
    ("pods.0.name", 7, "pods[0].name: expected `str`, got `int`"),
    ("pods.0.host_device", "../../etc", "pods[0].host_device: expected `str` matching regex"),
    ("pods.0.host_device", "..", "pods[0].host_device: expected `str` matching regex"),
    ("pods.0.host_device", "sixteen-letters-", "pods[0].host_device: expected `str` matching regex"),
    ("pods.0.addresses", [], "pods[0].addresses: expected `array` of length >= 1"),
    ("pods.0.wiring", {"kind": "magic"}, "pods[0].wiring.kind: invalid value 'magic'"),
    ("pods.0.wiring", {"kind": "calico", "gateways": []}, "pods[0].wiring: object contains unknown field"),
    ("links.0.ends", [], "links[0].ends: expected `array` of length 2"),
    ("nodes.0.services.0.port", 0, "nodes[0].services[0].port: expected `int` >= 1"),
    ("nodes.0.neighbours.0.mac", "02", "nodes[0].neighbours[0].mac: expected `str` matching regex"),
    ("history.0.do", "run", "history[0].do: invalid value 'run'"),
    ("history.1.backend", "ipfw", "history[1].backend: invalid enum value 'ipfw'"),
    ("remedy.0.tables.0", "filter; flush ruleset", "remedy[0].tables[0]: expected `str` matching regex"),
    ("remedy.0.tables.0", "-x", "remedy[0].tables[0]: expected `str` matching regex"),
    ("probes.0.expect.outcome", "eaten", "probes[0].expect.outcome: invalid enum value 'eaten'"),
    ("pods.1.name", "web", "pods[1].name: web is at pods[0].name already"),
    ("hosts.0.name", "node", "hosts[0].name: node is at nodes[0].name already"),
    ("nodes.0.name", "worker", "nodes: none of them is called node"),
    ("probes.1", {**MINIMAL["probes"][0]}, "probes[1].name: first is at probes[0].name already"),
    ("pods.0.node", "elsewhere", "pods[0].node: there is no elsewhere. There are: node"),
    ("pods.0.wiring.bridge", "br1", "pods[0].wiring.bridge: there is no br1. There are: cni0"),
    ("links.0.ends.1.netns", "nobody", "links[0].ends[1].netns: there is no nobody"),
    ("pods.0.device", "lo", "pods[0].device: a device cannot be called lo"),
    ("pods.1.host_device", "veth0", "pods[1].host_device: veth0 in node is at pods[0].host_device already"),
    ("links.0.ends.0.device", "cni0", "links[0].ends[0].device: cni0 in node is at nodes[0].bridges[0].device already"),
    ("pods.0.addresses", ["10.1.0.2"], "pods[0].addresses[0]: '10.1.0.2' is no address with a prefix length"),
    ("pods.0.addresses", ["10.1.0.256/24"], "pods[0].addresses[0]: '10.1.0.256/24' is no address"),
    ("pods.0.addresses", ["fe80::1%eth0/64"], "pods[0].addresses[0]: 'fe80::1%eth0/64' is no address"),
    ("pods.0.addresses", ["224.0.0.1/32"], "pods[0].addresses[0]: 224.0.0.1/32 cannot be a device's own address"),
    ("pods.0.addresses", ["127.0.0.2/8"], "pods[0].addresses[0]: 127.0.0.2/8 cannot be a device's own address"),
    ("pods.0.addresses", ["192.0.2.1/32"], "links[0].ends[0].addresses[0]: 192.0.2.1 is at pods[0].addresses[0]"),
    ("pods.2.wiring.gateways", ["gate"], "pods[2].wiring.gateways[0]: 'gate' is no address"),
    ("pods.2.wiring.gateways", ["fd00::1"], "pods[2].wiring.gateways: they are not of the families of the pod's"),
    ("nodes.0.sysctls", {"kernel.core_pattern": "|/bin/sh"}, "nodes[0].sysctls: 'kernel.core_pattern' is not the name"),
    ("nodes.0.sysctls", {"net/../kernel/x": 1}, "nodes[0].sysctls: 'net/../kernel/x' is not the name"),
    ("nodes.0.routes.0.to", "default", "nodes[0].routes[0].to: 'default' is no network"),
    ("nodes.0.routes.0.to", "10.0.0.1/8", "nodes[0].routes[0].to: '10.0.0.1/8' is no network"),
    ("nodes.0.routes.0.to", "::/0", "nodes[0].routes[0].via: '192.0.2.2' is no IPv6 address"),
    ("nodes.0.routes.0.device", "eth7", "nodes[0].routes[0].device: there is no eth7"),
    ("nodes.0.routes.0.kind", "blackhole", "nodes[0].routes[0]: a blackhole route cannot be written like this"),
    ("nodes.0.routes.0", {"to": "0.0.0.0/0"}, "nodes[0].routes[0]: a unicast route cannot be written like this"),
    ("nodes.0.neighbours.0.address", "192.0.2.2/32", "nodes[0].neighbours[0].address: '192.0.2.2/32' is no address"),
    ("nodes.0.neighbours.0.device", "eth7", "nodes[0].neighbours[0].device: there is no eth7"),
    ("nodes.0.services.0.address", "10.9.9.9", "nodes[0].services[0].address: there is no 10.9.9.9"),
    ("nodes.0.services.1.protocol", "dns", "nodes[0].services[1]: port 7/udp is at nodes[0].services[0] already"),
    ("history.1.netns", "nobody", "history[1].netns: there is no nobody"),
    ("history.2.family", "ip", "history[2].family: an nft file names its own families"),
    ("remedy.0.family", "inet", "remedy[0].family: iptables-legacy has no family inet"),
    ("remedy.0.tables", ["fliter"], "remedy[0]: iptables-legacy has no table fliter"),
    ("history.0", {"do": "set-sysctl", "key": "vm.swappiness", "value": 1}, "history[0].key: 'vm.swappiness' is not"),
    ("history.0", {"do": "add-route", "route": {"to": "x"}}, "history[0].route.to: 'x' is no network"),
    ("probes.0.source", "nobody", "probes[0].source: there is no nobody"),
    ("probes.0.source", "10.1.0.2", "probes[0].source: there is no 10.1.0.2"),
    ("probes.0.destination", "nobody", "probes[0].destination: there is no nobody"),
    ("probes.0.destination", "10.0.0.0/8", "probes[0].destination: there is no 10.0.0.0/8"),
    ("probes.0.destination", "web", "probes[0].destination: it is the source too"),
    ("probes.0.destination", "fd00::2", "probes[0].destination: fd00::2 has no IPv4 address"),
    ("probes.0.destination", "six", "probes[0].destination: six has no IPv4 address"),
    ("probes.0.family", "ipv6", "probes[0].source: web has no IPv6 address"),
    ("probes.0.port", 80, "probes[0].port: ICMP has no ports"),
    ("probes.0.protocol", "tcp", "probes[0]: a tcp probe needs a port"),
    ("probes.0.expect.culprit.netns", "nobody", "probes[0].expect.culprit.netns: there is no nobody"),
    ("probes.0.expect.outcome", "delivered", "probes[0].expect.culprit: what was delivered has no culprit"),
]


@pytest.mark.parametrize("path, value, said", WRONG_VALUES)
def test_what_is_wrong_is_told_with_file_and_key(folder, path, value, said):
    (folder / "scenario.yaml").write_text(text_of(changed(path, value)))
    assert refusal(folder).startswith(f"{folder}/scenario.yaml: {said}")


def test_a_node_is_reached_at_a_gateway_of_its_pods_too():
    scenario = changed("nodes.0.bridges", [])
    scenario["pods"] = [scenario["pods"][2]]
    scenario["nodes"] = [{"name": "node"}]
    scenario["links"] = []
    scenario["probes"][0]["source"] = "point"
    assert decode(text_of(scenario), "it").probes[0].destination == "node"


WRONG_YAML = [
    ("name: [\n", r"line 2: "),
    ("name: a\nname: b\n", r"line 2: 'name' is there twice"),
    ("nodes: &all [*all]\n", r"line 1: anchors and aliases are not allowed"),
    ("name: !!python/object/apply:os.system [true]\n", r"line 1: could not determine a constructor"),
    ("\x00", r"special characters are not allowed|unacceptable character"),
    ("? [a]\n: b\n", r"line 1: found unhashable key"),
    ("name: 2025-02-30\n", r"day is out of range for month"),
    ("[" * 5000, r"it is nested too deep"),
]


@pytest.mark.parametrize("text, said", WRONG_YAML)
def test_what_is_no_yaml_is_told_with_file_and_line(folder, text, said):
    (folder / "scenario.yaml").write_text(text)
    with pytest.raises(UsageError, match=rf"scenario\.yaml is not the YAML of a scenario: ({said})"):
        load(folder)


@pytest.mark.parametrize("name", ["/etc/passwd", "../rules", "a/../../rules", "", "a\nb", "."])
def test_a_rule_file_is_below_the_folder(folder, name):
    (folder / "scenario.yaml").write_text(text_of(changed("history.1.file", name)))
    message = refusal(folder)
    assert message.startswith((f"{folder}/scenario.yaml: history[1].file: ", f"{folder} is no regular file"))


def test_a_rule_file_is_no_link_out_of_the_folder(folder, tmp_path_factory):
    secret = tmp_path_factory.mktemp("elsewhere") / "secret"
    secret.write_text("secret")
    (folder / "rules").unlink()
    (folder / "rules").symlink_to(secret)
    assert "history[1].file: rules leads out of the scenario's folder" in refusal(folder)
    (folder / "rules").unlink()
    (folder / "below").symlink_to(secret.parent)
    (folder / "scenario.yaml").write_text(text_of(changed("history.1.file", "below/secret")))
    assert "history[1].file: below/secret leads out" in refusal(folder)


def test_a_rule_file_may_be_a_link_within_the_folder(folder):
    (folder / "rules").rename(folder / "legacy")
    (folder / "rules").symlink_to("legacy")
    assert load(folder).files["rules"] == FILES["rules"]


def test_files_that_cannot_be_read(folder):
    (folder / "rules").unlink()
    assert "history[1].file: cannot read rules (No such file or directory)" in refusal(folder)
    (folder / "rules").symlink_to("rules")
    assert "history[1].file: cannot read rules (" in refusal(folder)
    (folder / "rules").unlink()
    os.mkfifo(folder / "rules")
    assert refusal(folder).startswith(f"{folder}/rules is no regular file")
    (folder / "rules").unlink()
    (folder / "rules").write_bytes(b"\xff\xfe")
    assert refusal(folder).startswith(f"{folder}/rules is not UTF-8 text")
    with (folder / "rules").open("wb") as file:
        file.truncate(1 << 30)
    assert refusal(folder).startswith(f"{folder}/rules is larger than 16384 KiB")


def test_a_folder_without_scenario(tmp_path):
    assert refusal(tmp_path).startswith(f"cannot read {tmp_path}/scenario.yaml (No such file or directory)")


@pytest.mark.parametrize(
    "file, text, said",
    [
        ("rules", "*filter\n-A INPUT -j DROP -M /tmp/evil\nCOMMIT\n", "line 2: the option -M is not for scenarios"),
        ("sets", "create a hash:ip\nsave -file /tmp/x\n", "line 2: it is neither create nor add"),
        ("nft", 'table ip a {\n}\ninclude "/etc/passwd"\n', "line 3: it includes another file"),
    ],
)
def test_each_kind_of_rule_file_is_looked_through(folder, file, text, said):
    (folder / file).write_text(text)
    assert refusal(folder).startswith(f"{folder}/{file}, {said}. A rule file may hold rules")
