"""Rule files may hold rules; whatever would act outside the lab's namespaces is refused."""

from __future__ import annotations

import pytest

from tracer.scenario.rulefile import Refusal, check_ipset, check_nft, check_xtables

RULES = [
    "# a comment with -M and --modprobe=/bin/sh",
    "",
    "*filter",
    ":INPUT ACCEPT [0:0]",
    ":cali-INPUT - [0:0]",
    "[12:345] -A INPUT -j cali-INPUT",
    '-A FORWARD ! -s 10.0.0.0/8 -i cali+ -p udp -m comment --comment "a \\"-M\\" -> b" -m udp --dport 53 -g x',
    "-A OUTPUT -m statistic --mode random --probability 0.5 -j MARK --set-xmark 0x0/0x1",
    '-A INPUT -m comment --comment "why -M" -j LOG --log-prefix "drop -M "',
    "-A INPUT -m rpfilter --validmark --invert -m set ! --match-set a src -j DROP",
    "-I INPUT 1 -f -j DROP",
    "-D INPUT -j DROP",
    "-P INPUT DROP",
    "-F x",
    "-X x",
    "-N x",
    "COMMIT",
]

HOSTILE_RULES = [
    ("-A INPUT -M /tmp/evil -m foo", "the option -M is"),
    ('-A INPUT -"M" /tmp/evil', "the option -M is"),
    ('-A INPUT "-M" /tmp/evil', "the option -M is"),
    ("-A INPUT -M/tmp/evil", "the option -M/tmp/evil is"),
    ("-A INPUT -nM /tmp/evil", "the option -nM is"),
    ("-A INPUT --modprobe=/tmp/evil", "the option --modprobe=/tmp/evil is"),
    ("-A INPUT --modprobe /tmp/evil", "the option --modprobe is"),
    ("-A INPUT --mod /tmp/evil", "the option --mod is"),
    ("-A INPUT --m=/tmp/evil", "the option --m=/tmp/evil is"),
    ('-A INPUT --"modprobe" /tmp/evil', "the option --modprobe is"),
    ('-A INPUT -m string --string " --comment " -M /tmp/evil', "the option -M is"),
    ('-A INPUT -m comment --comment "a"-M /tmp/evil', "the option -M is"),
    ('-A INPUT -m comment --comment "a\\\\" -M /tmp/evil', "the option -M is"),
    ('-A INPUT -m comment --comment "a -M', None),
    ("-A INPUT -m comment --comment a -M b", "the option -M is"),
    ("-A INPUT -m comment --comment --comment -M /tmp/evil", "the option -M is"),
    ("-A INPUT -s --comment -M /tmp/evil", "the option -M is"),
    ('-A INPUT "-M /tmp/evil"', "the option -M /tmp/evil is"),
    ("-A INPUT -s -m -m bpf", "the match -m is"),
    (" -A INPUT -M /tmp/evil", "the option -M is"),
    (" # -M /tmp/evil", "it is neither"),
    (" COMMIT", "it is neither"),
    ("-A INPUT -m bpf --object-pinned /sys/fs/bpf/x", "the match bpf is"),
    ("-A INPUT -m ../../tmp/evil", "the match ../../tmp/evil is"),
    ("-A INPUT --match bpf", "the match bpf is"),
    ("-A INPUT --match=bpf", "the option --match=bpf is"),
    ("-A INPUT --matc bpf", "the option --matc is"),
    ("-A INPUT -m", None),
    ("-A INPUT -mbpf", "the option -mbpf is"),
    ("-A INPUT -j SYSRQ", "the target SYSRQ acts"),
    ("-A INPUT -jLED", "the option -jLED is"),
    ("-A INPUT --jump IDLETIMER", "the target IDLETIMER acts"),
    ("-A INPUT --jump=IDLETIMER", "the option --jump=IDLETIMER is"),
    ("-A INPUT --jum LED", "the option --jum is"),
    ("-L", "it is neither"),
    ("-S INPUT", "it is neither"),
    ("-t nat -A INPUT", "it is neither"),
    ("include x", "it is neither"),
    ("-A INPUT\r", "it has a control character"),
    ("-A INPUT \x1b[2J", "it has a control character"),
    ("-A INPUT \x00", "it has a control character"),
    ("# " + "x" * 11000, "it is longer than 10000 bytes"),
]


def test_what_iptables_save_writes_is_accepted():
    assert check_xtables("\n".join(RULES)) is None


@pytest.mark.parametrize("line, why", HOSTILE_RULES)
def test_what_is_no_rule_is_refused(line, why):
    refusal = check_xtables(f"*filter\n{line}\nCOMMIT\n")
    if why is None:  # harmless: the program sees no option there
        assert refusal is None
    else:
        assert refusal.line == 2
        assert refusal.why.startswith(why)


@pytest.mark.parametrize(
    "line, why",
    [
        ("save -file /tmp/x", "it is neither create nor add"),
        ("restore", "it is neither create nor add"),
        ("flush", "it is neither create nor add"),
        ("-X a", "it is neither create nor add"),
        ("add a 10.0.0.1 -file /tmp/x", "the option -file is"),
        ('add a 10.0.0.1 comment "-file" /tmp/x', "the option -file is"),
        ('add a 10.0.0.1 comment "x" -file "y z"', "the option -file is"),
        ('add a 10.0.0.1 comment "x\\" -file "y z"', "it has a backslash"),
        ("add a 10.0.0.1 " + "x" * 1100, "it is longer than 1000 bytes"),
    ],
)
def test_what_is_no_set_is_refused(line, why):
    refusal = check_ipset(f"create a hash:ip\n{line}\n")
    assert refusal.line == 2
    assert refusal.why.startswith(why)


def test_what_ipset_save_writes_is_accepted():
    text = 'create a hash:ip family inet comment\nadd a 10.0.0.1 comment "not -file b"\nadd a 10.0.0.2 -exist\n'
    assert check_ipset(text) is None


@pytest.mark.parametrize(
    "text, line",
    [
        ('include "/etc/passwd"\n', 1),
        ('table ip a {\n  include "/tmp/*"\n}\n', 2),
        ('add table ip a; include "/etc/passwd"\n', 1),
        ('table ip a {\n  comment "x\n# " include "/etc/passwd"\n}\n', 3),
        ('# "\ninclude "/etc/passwd"\n', 2),
    ],
)
def test_nft_files_include_nothing(text, line):
    assert check_nft(text) == Refusal(line, "it includes another file")


def test_nft_files_may_speak_of_includes():
    text = '# include nothing\ntable ip a {\n\tchain b {\n\t\tcounter comment "includes; include x"\n\t}\n}\n'
    assert check_nft(text) is None
    assert check_nft("table ip \x07a\n") == Refusal(1, "it has a control character")
