"""All trials in order. Another means of watching is another row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from tracer.doctor import bpf, machine, packet_filters, programs
from tracer.doctor.bench import Bench
from tracer.doctor.model import Part

Need: TypeAlias = Literal["always", "one", "with legacy tables", "never"]
"""When a trace is impossible without it; `one`: of several means to one end, one is needed."""


@dataclass(frozen=True)
class Trial:
    """How to try one thing: `attempt` returns what it found, or raises CannotTraceError.

    It is not tried unless the trials named in `after` found theirs.
    """

    name: str
    part: Part
    need: Need
    attempt: Callable[[Bench], str]
    after: tuple[str, ...] = ()


_NFT = (("nft",),)
_SAVE = (("iptables-nft-save",), ("xtables-nft-multi", "iptables-nft-save"))
_SAVE6 = (("ip6tables-nft-save",), ("xtables-nft-multi", "ip6tables-nft-save"))

TRIALS = (
    Trial("root", "machine", "always", machine.root),
    Trial("kernel", "machine", "always", machine.kernel),
    Trial("BTF", "machine", "always", machine.kernel_types),
    Trial("bcc", "bpf", "always", bpf.bcc),
    Trial("BPF programs", "bpf", "always", bpf.programs, ("root", "kernel", "BTF", "bcc")),
    Trial("kfree_skb", "bpf", "always", bpf.freed, ("BPF programs",)),
    Trial("scapy", "probes", "always", programs.scapy),
    Trial("pyroute2", "probes", "always", programs.pyroute2),
    Trial("link", "netfilter", "one", bpf.netfilter_link, ("BPF programs",)),
    Trial("tcx", "veth", "one", bpf.tcx, ("BPF programs", "pyroute2")),
    Trial("nf_tables", "rules", "always", packet_filters.nft_trace, ("root", "pyroute2")),
    Trial("hooks", "rules", "always", bpf.hook_functions, ("BPF programs", "nf_tables")),
    Trial("legacy tables", "rules", "never", packet_filters.legacy_tables, ("root",)),
    Trial("NFLOG", "rules", "with legacy tables", packet_filters.nflog, ("nf_tables",)),
    Trial("nf_log", "rules", "with legacy tables", packet_filters.logger, ("root", "pyroute2")),
    Trial("journal", "rules", "with legacy tables", packet_filters.journal, ("root",)),
    Trial("iptables-legacy", "rules", "never", packet_filters.legacy_program),
    Trial("nft", "texts", "never", programs.prints_rules(_NFT, "native rules are shown by their handles")),
    Trial("iptables-nft-save", "texts", "never", programs.prints_rules(_SAVE, "its rules are shown as nft has them")),
    Trial("ip6tables-nft-save", "texts", "never", programs.prints_rules(_SAVE6, "its rules are shown as nft has them")),
    Trial("iptables-legacy-restore", "labs", "never", programs.builds_labs("iptables-legacy-restore", "iptables")),
    Trial("ipset", "labs", "never", programs.builds_labs("ipset", "ipset")),
    Trial("killed runs", "left over", "never", programs.left_over),
)
