"""Targets that answer, log, queue or change a header."""

from __future__ import annotations

from tracer.netfilter.legacy.extension import Context, Extension, no_options
from tracer.netfilter.legacy.text import address, quoted, string, words

# enum ipt_reject_with and enum ip6t_reject_with
REJECT_WITH = (
    "icmp-net-unreachable",
    "icmp-host-unreachable",
    "icmp-proto-unreachable",
    "icmp-port-unreachable",
    "",  # an echo reply, which the kernel refuses
    "icmp-net-prohibited",
    "icmp-host-prohibited",
    "tcp-reset",
    "icmp-admin-prohibited",
)
REJECT_WITH_6 = (
    "icmp6-no-route",
    "icmp6-adm-prohibited",
    "",  # not a neighbour: the kernel takes it, iptables has no name for it
    "icmp6-addr-unreachable",
    "icmp6-port-unreachable",
    "",  # an echo reply
    "tcp-reset",
    "icmp6-policy-fail",
    "icmp6-reject-route",
)
LOG_FLAGS = (
    (0x01, "--log-tcp-sequence"),
    (0x02, "--log-tcp-options"),
    (0x04, "--log-ip-options"),
    (0x08, "--log-uid"),
    (0x20, "--log-macdecode"),
)
LOG_WARNING = 4  # syslog(3), the default of -j LOG
NFLOG_COPIES_LENGTH = 0x1
QUEUE_BYPASS, QUEUE_CPU_FANOUT = 0x1, 0x2
CLAMP_TO_PATH_MTU = 0xFFFF
CHECKSUM_FILL = 0x1
TTL_OPERATIONS = {0: "set", 1: "inc", 2: "dec"}


def reject(context: Context, kind: int) -> str | None:
    """Render `-j REJECT`."""
    kinds = REJECT_WITH if context.family == "ip" else REJECT_WITH_6
    return f"--reject-with {kinds[kind]}" if kind < len(kinds) and kinds[kind] else None


def log(_: Context, level: int, flags: int, prefix: bytes) -> str:
    """Render `-j LOG`."""
    return words(
        f"--log-prefix {quoted(prefix)}" if prefix[0] else "",
        f"--log-level {level}" if level != LOG_WARNING else "",
        *(option for flag, option in LOG_FLAGS if flags & flag),
    )


def nflog(_: Context, size: int, group: int, threshold: int, flags: int, _pad: int, prefix: bytes) -> str:
    """Render `-j NFLOG`."""
    size_option = "--nflog-size" if flags & NFLOG_COPIES_LENGTH else "--nflog-range"
    return words(
        f"--nflog-prefix {quoted(prefix)}" if prefix[0] else "",
        f"--nflog-group {group}" if group else "",
        f"{size_option} {size}" if size or flags & NFLOG_COPIES_LENGTH else "",
        f"--nflog-threshold {threshold}" if threshold else "",
    )


def nfqueue(_: Context, first: int, count: int = 1, flags: int = 0) -> str:
    """Render `-j NFQUEUE`: revision 1 adds a range of queues, 2 the bypass, 3 the fan-out."""
    balances = count > 1
    return words(
        f"--queue-balance {first}:{first + count - 1}" if balances else f"--queue-num {first}",
        "--queue-bypass" if flags & QUEUE_BYPASS else "",
        "--queue-cpu-fanout" if flags & QUEUE_CPU_FANOUT else "",
    )


def tcpmss(_: Context, size: int) -> str:
    """Render `-j TCPMSS`."""
    return "--clamp-mss-to-pmtu" if size == CLAMP_TO_PATH_MTU else f"--set-mss {size}"


def dscp(_: Context, value: int) -> str:
    """Render `-j DSCP`."""
    return f"--set-dscp {value:#04x}"


def tos(_: Context, value: int, mask: int) -> str:
    """Render `-j TOS`."""
    return f"--set-tos {value:#04x}/{mask:#04x}"


def checksum(_: Context, operation: int) -> str:
    """Render `-j CHECKSUM`."""
    return "--checksum-fill" if operation & CHECKSUM_FILL else ""


def classify(_: Context, priority: int) -> str:
    """Render `-j CLASSIFY`."""
    return f"--set-class {priority >> 16:04x}:{priority & 0xFFFF:04x}"


def ttl(context: Context, operation: int, value: int) -> str | None:
    """Render `-j TTL` and `-j HL`."""
    if operation not in TTL_OPERATIONS:
        return None
    return f"--{'ttl' if context.family == 'ip' else 'hl'}-{TTL_OPERATIONS[operation]} {value}"


def tee(context: Context, gateway: bytes, device: bytes, _kernel: int) -> str:
    """Render `-j TEE`."""
    return words(
        f"--gateway {address(gateway[: context.address_size])}", f"--oif {string(device)}" if device[0] else ""
    )


NFQUEUE = "linux/netfilter/xt_NFQUEUE.h"
TARGETS = (
    Extension("CHECKSUM", 0, "B", checksum, "linux/netfilter/xt_CHECKSUM.h"),
    Extension("CLASSIFY", 0, "I", classify, "linux/netfilter/xt_CLASSIFY.h"),
    Extension("DSCP", 0, "B", dscp, "linux/netfilter/xt_DSCP.h"),
    Extension("HL", 0, "BB", ttl, "linux/netfilter_ipv6/ip6t_HL.h", ("ip6",)),
    Extension("LOG", 0, "BB30s", log, "linux/netfilter/xt_LOG.h"),
    Extension("NFLOG", 0, "IHHHH64s", nflog, "linux/netfilter/xt_NFLOG.h"),
    Extension("NFQUEUE", 0, "H", nfqueue, NFQUEUE),
    Extension("NFQUEUE", 1, "HH", nfqueue, NFQUEUE),
    Extension("NFQUEUE", 2, "HHH", nfqueue, NFQUEUE),
    Extension("NFQUEUE", 3, "HHH", nfqueue, NFQUEUE),
    Extension("REJECT", 0, "I", reject, "linux/netfilter_ipv4/ipt_REJECT.h", ("ip",)),
    Extension("REJECT", 0, "I", reject, "linux/netfilter_ipv6/ip6t_REJECT.h", ("ip6",)),
    Extension("TCPMSS", 0, "H", tcpmss, "linux/netfilter/xt_TCPMSS.h"),
    Extension("TEE", 1, "16s16sP", tee, "linux/netfilter/xt_TEE.h"),
    Extension("TOS", 1, "BB", tos, "linux/netfilter/xt_DSCP.h"),
    Extension("TRACE", 0, "", no_options, "net/netfilter/xt_TRACE.c"),
    Extension("TTL", 0, "BB", ttl, "linux/netfilter_ipv4/ipt_TTL.h", ("ip",)),
)
