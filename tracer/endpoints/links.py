"""Links, addresses and routes of a network namespace, read through rtnetlink(7).

Each function takes an IPRoute that was opened in the namespace it speaks of. pyroute2 keeps a socket for each
thread, so an IPRoute belongs to the thread that opened it: open and use it within one `run_in`.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
from dataclasses import dataclass

from pyroute2 import IPRoute
from pyroute2.netlink import nlmsg
from pyroute2.netlink.exceptions import NetlinkError

from tracer.netns import Netns, open_descriptor
from tracer.packet import IpFamily
from tracer.text import printable

PAIRED_KINDS = frozenset({"veth", "netkit"})  # their IFLA_LINK is the other end's ifindex

_AF: dict[IpFamily, int] = {4: socket.AF_INET, 6: socket.AF_INET6}

# include/uapi/linux/if_addr.h
_IFA_F_OPTIMISTIC, _IFA_F_DADFAILED, _IFA_F_DEPRECATED, _IFA_F_TENTATIVE = 0x04, 0x08, 0x20, 0x40
_NSID_NOT_ASSIGNED = {-1, 0xFFFFFFFF}  # include/uapi/linux/net_namespace.h, as int or as u32

# include/uapi/linux/rtnetlink.h
_RTEXT_FILTER_SKIP_STATS = 8
_RTN_UNICAST, _RTN_LOCAL = 1, 2
_RT_SCOPE_LINK, _RT_SCOPE_HOST = 253, 254
# IPv6's link-local addresses need a scope and lead nowhere; an IPv4 address of link scope is as good as any.
_FIRST_REFUSED_SCOPE = {socket.AF_INET: _RT_SCOPE_HOST, socket.AF_INET6: _RT_SCOPE_LINK}


class NoRouteError(Exception):
    """The kernel would not send the packet; the text is its reason."""


@dataclass(frozen=True)
class Link:
    """A device. `peer_index` is its IFLA_LINK, in the namespace that this one knows by `peer_nsid`."""

    index: int
    name: str
    kind: str
    peer_index: int | None
    peer_nsid: int | None
    master: int | None


@dataclass(frozen=True)
class InterfaceAddress:
    """An address of the device `index` that can be used to speak with other namespaces."""

    address: str
    family: IpFamily
    index: int


@dataclass(frozen=True)
class Route:
    """What the kernel would do with a packet: leave by the device `index`, with `source` as its address."""

    index: int
    source: str | None
    local: bool


def read_links(ip: IPRoute) -> tuple[Link, ...]:
    """Return the namespace's links."""
    return tuple(_link(message) for message in ip.get_links(ext_mask=_RTEXT_FILTER_SKIP_STATS))


def read_link(ip: IPRoute, index: int) -> Link | None:
    """Return the link with that ifindex, None when there is none."""
    try:
        (message,) = ip.link("get", index=index, ext_mask=_RTEXT_FILTER_SKIP_STATS)
    except NetlinkError as error:
        if error.code == errno.ENODEV:
            return None
        raise
    return _link(message)


def read_addresses(ip: IPRoute) -> tuple[InterfaceAddress, ...]:
    """Return the addresses that other namespaces can reach, without tentative, failed and deprecated ones."""
    return tuple(_address(message) for message in ip.get_addr() if _usable(message))


def has_address(ip: IPRoute, family: IpFamily) -> bool:
    """Tell whether the namespace has an address of that family which others can reach."""
    return any(_usable(message) for message in ip.get_addr(family=_AF[family]))


def read_route(ip: IPRoute, destination: str, source: str | None = None) -> Route:
    """Return the route that the kernel would take to `destination` (RTM_GETROUTE, as `ip route get`).

    Raise NoRouteError when there is none.
    """
    given = {"src": source} if source else {}
    try:
        (message,) = ip.route("get", dst=destination, **given)
    except NetlinkError as error:
        raise NoRouteError(os.strerror(error.code)) from error
    if message["type"] not in {_RTN_UNICAST, _RTN_LOCAL}:
        raise NoRouteError("it is a broadcast address or the like there")
    return Route(message.get("oif"), source or message.get("prefsrc"), message["type"] == _RTN_LOCAL)


def read_nsid(ip: IPRoute, netns: Netns) -> int | None:
    """Return the number by which the namespace of `ip` knows `netns`, None when it does not (RTM_GETNSID)."""
    descriptor = open_descriptor(netns)
    try:
        nsid = int(ip.get_netnsid(fd=descriptor)["nsid"])
    finally:
        os.close(descriptor)
    return None if nsid in _NSID_NOT_ASSIGNED else nsid


def _link(message: nlmsg) -> Link:
    return Link(
        index=message["index"],
        name=printable(message.get("ifname")),
        kind=message.get(("linkinfo", "kind")) or "",
        peer_index=message.get("link"),
        peer_nsid=message.get("link_netnsid"),
        master=message.get("master"),
    )


def _usable(message: nlmsg) -> bool:
    flags = message.get_attr("IFA_FLAGS") or message["flags"]
    if flags & (_IFA_F_DADFAILED | _IFA_F_DEPRECATED):
        return False
    if flags & _IFA_F_TENTATIVE and not flags & _IFA_F_OPTIMISTIC:
        return False
    return bool(message["scope"] < _FIRST_REFUSED_SCOPE.get(message["family"], 0))


def _address(message: nlmsg) -> InterfaceAddress:
    # IFA_ADDRESS is the other side's on a point-to-point device, IFA_LOCAL is always our own (if_addr.h).
    text = message.get("local") or message.get("address")
    return InterfaceAddress(text, ipaddress.ip_address(text).version, message["index"])
