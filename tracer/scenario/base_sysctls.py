"""From which sysctls a lab's namespaces start, and setting them.

A new namespace may copy its `conf` settings from the first one (net.core.devconf_inherit_init_net), so all that a
lab depends on is set here, and what a scenario wants otherwise is set after it.
"""

from __future__ import annotations

from collections.abc import Iterable

from tracer.errors import CannotTraceError
from tracer.sysctl import path_of, write

_EVERY_DEVICE = ("all", "default", "lo")

# Documentation/networking/ip-sysctl.rst. Redirects and rate limits would make a probe's fate depend on those before
# it; duplicate address detection and router solicitation would make a lab slow and its captures noisy.
_IPV4_DEVICE = {
    "accept_local": 0,
    "accept_redirects": 0,
    "arp_announce": 0,
    "arp_filter": 0,
    "arp_ignore": 0,
    "log_martians": 0,
    "proxy_arp": 0,
    "route_localnet": 0,
    "rp_filter": 0,
    "send_redirects": 0,
    "src_valid_mark": 0,
}
_IPV6_DEVICE = {
    "accept_dad": 0,
    "accept_ra": 0,
    "accept_redirects": 0,
    "addr_gen_mode": 1,  # no link-local address but those that the lab assigns
    "autoconf": 0,
    "disable_ipv6": 1,  # a namespace without IPv6 addresses keeps quiet
    "mldv1_unsolicited_report_interval": 1,  # ms: membership reports are over before the first probe
    "mldv2_unsolicited_report_interval": 1,
    "proxy_ndp": 0,
    "router_solicitations": 0,
    "use_tempaddr": 0,
}
BASE: dict[str, str | int] = {
    "net.ipv4.ip_forward": 0,
    "net.ipv4.icmp_echo_ignore_all": 0,
    "net.ipv4.icmp_ratelimit": 0,
    "net.ipv4.ip_default_ttl": 64,
    "net.ipv6.conf.all.forwarding": 0,
    "net.ipv6.icmp.ratelimit": 0,
    "net.bridge.bridge-nf-call-arptables": 0,
    "net.bridge.bridge-nf-call-ip6tables": 0,
    "net.bridge.bridge-nf-call-iptables": 0,
    **{f"net.ipv4.conf.{device}.{key}": value for device in _EVERY_DEVICE for key, value in _IPV4_DEVICE.items()},
    **{f"net.ipv6.conf.{device}.{key}": value for device in _EVERY_DEVICE for key, value in _IPV6_DEVICE.items()},
}
# These exist only where the kernel has IPv6 and br_netfilter; without them nothing is there to be set.
_OPTIONAL = ("net.ipv6.", "net.bridge.")


def set_base() -> None:
    """Set what every lab starts from, in the calling thread's namespace."""
    set_all((name, value) for name, value in BASE.items() if not name.startswith(_OPTIONAL) or path_of(name).exists())


def set_all(settings: Iterable[tuple[str, str | int]]) -> None:
    """Set sysctls in the calling thread's namespace; raise CannotTraceError for one that the kernel refuses."""
    for name, value in settings:
        try:
            write(name, str(value))
        except OSError as error:
            raise CannotTraceError(
                f"the kernel refuses {value!r} for the sysctl {name} ({error.strerror})",
                "Use a value that this kernel takes, or a kernel that has the sysctl",
            ) from error
