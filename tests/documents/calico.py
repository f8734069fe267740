"""What Calico 3.28 decides at a node's hooks, in one backend."""

from __future__ import annotations

from documents.parts import CALI, end_of, matched, policy

UNKNOWN_INTERFACE = (
    '-A cali-from-wl-dispatch -m comment --comment "cali:zTj6P0TIgYvgz-md" '
    '-m comment --comment "Unknown interface" -j DROP'
)


def _rules(backend, table, *rules):
    return tuple(matched(backend, table, *rule, "calico") for rule in rules)


def raw_prerouting(backend):
    clear_marks = '-A cali-PREROUTING -m comment --comment "cali:XFX5xbM8B9qR10JG" -j MARK --set-xmark 0x0/0xf0000'
    return (
        *_rules(
            backend,
            "raw",
            (
                1,
                '-A PREROUTING -m comment --comment "cali:6gwbT8clXdHdC1b1" -j cali-PREROUTING',
                "jump cali-PREROUTING",
            ),
            (1, clear_marks, "continue"),
        ),
        end_of(backend, "raw", "cali-PREROUTING"),
        policy(backend, "raw", "PREROUTING"),
    )


def mangle_prerouting(backend):
    established = (
        '-A cali-PREROUTING -m comment --comment "cali:6BJqBjBC7crtA-7-" '
        "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
    )
    return _rules(
        backend,
        "mangle",
        (1, '-A PREROUTING -m comment --comment "cali:6gwbT8clXdHdC1b1" -j cali-PREROUTING', "jump cali-PREROUTING"),
        (1, established, "accept"),
    )


def filter_input(backend, *last):
    return _rules(
        backend,
        "filter",
        (1, '-A INPUT -m comment --comment "cali:Cz_u1IQiXIMmKD4c" -j cali-INPUT', "jump cali-INPUT"),
        (
            3,
            '-A cali-INPUT -i cali+ -m comment --comment "cali:bbsa2Kr9HzcKbKHo" -g cali-wl-to-host',
            "goto cali-wl-to-host",
        ),
        (
            1,
            '-A cali-wl-to-host -m comment --comment "cali:Ee9Sbo10IpVujdIY" -j cali-from-wl-dispatch',
            "jump cali-from-wl-dispatch",
        ),
        *last,
    )


def filter_input_known(backend):
    """The pod's interface is in the dispatch chain, and conntrack knows the connection."""
    chain = f"cali-fw-{CALI}"
    dispatch = f'-A cali-from-wl-dispatch -i {CALI} -m comment --comment "cali:J9LnIBGRTUtBnhm4" -g {chain}'
    established = (
        f'-A {chain} -m comment --comment "cali:Iw7fQ0WLFbSJUHqz" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT'
    )
    return filter_input(backend, (2, dispatch, f"goto {chain}"), (1, established, "accept"))


def filter_input_unknown(backend):
    return filter_input(backend, (2, UNKNOWN_INTERFACE, "drop"))


def output(backend):
    return (
        *(policy(backend, table, "OUTPUT") for table in ("raw", "mangle", "nat")),
        *_rules(
            backend,
            "filter",
            (1, '-A OUTPUT -m comment --comment "cali:tVnHkvAo15HuiPy0" -j cali-OUTPUT', "jump cali-OUTPUT"),
            (2, '-A cali-OUTPUT -o cali+ -m comment --comment "cali:69FkRTJDvD5Vu6Vl" -j RETURN', "return"),
        ),
        policy(backend, "filter", "OUTPUT"),
    )


def postrouting(backend):
    return tuple(policy(backend, table, "POSTROUTING") for table in ("mangle", "nat"))
