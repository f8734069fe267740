"""What an extension (a match or a target that is more than a verdict) looks like in the kernel's memory.

Layouts are written in the notation of `struct` for native sizes and alignment, one letter a member, as the
structure stands in its header. The kernel pads each to XT_ALIGN, which is the alignment of a u64
(include/uapi/linux/netfilter/x_tables.h), and refuses any other size (xt_check_match and xt_check_target in
net/netfilter/x_tables.c), so that name, revision and size together say what the bytes mean.

A union nf_inet_addr is 16 bytes, of which IPv4 uses the first four (include/uapi/linux/netfilter.h).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from tracer.netfilter.legacy.text import string

IpFamily = Literal["ip", "ip6"]
BOTH: tuple[IpFamily, ...] = ("ip", "ip6")
XT_ALIGN = struct.calcsize("@cQ") - struct.calcsize("@Q")


@dataclass(frozen=True, eq=False)
class Context:
    """What an extension's bytes do not say: the family of the table, and the names of ipsets by index.

    Compared by identity, so that it can be part of a cache's key.
    """

    family: IpFamily
    set_names: Mapping[int, str]

    @cached_property
    def address_size(self) -> int:
        """Bytes of a nf_inet_addr that are in use."""
        return 4 if self.family == "ip" else 16


Options = Callable[..., "str | None"]
"""Takes the context and the members; returns the options' text, or None when a value has no known meaning."""


@dataclass(frozen=True)
class Extension:
    """One revision of an extension: its layout, what renders it, and the header that defines it.

    `alias` takes the same arguments as `options` and returns the name under which iptables-save shows it.
    """

    name: str
    revision: int
    layout: str
    options: Options
    header: str
    families: tuple[IpFamily, ...] = BOTH
    alias: Callable[..., str] | None = None

    @cached_property
    def structure(self) -> struct.Struct:
        """The compiled layout."""
        return struct.Struct("@" + self.layout)

    @cached_property
    def size(self) -> int:
        """Bytes that the extension takes in a rule, without its xt_entry_match or xt_entry_target."""
        return -(-self.structure.size // XT_ALIGN) * XT_ALIGN


def render(
    extension: Extension | None, name: bytes, revision: int, payload: bytes, context: Context
) -> tuple[str, str]:
    """Return an extension's name, and its name with options; what is unknown is shown by revision and size."""
    if extension and len(payload) == extension.size:
        members = extension.structure.unpack_from(payload)
        options = extension.options(context, *members)
        if options is not None:
            shown = extension.alias(context, *members) if extension.alias else extension.name
            return shown, f"{shown} {options}" if options else shown
    shown = string(name)
    return shown, f"{shown}[rev {revision}, {len(payload)} bytes undecoded]"


def no_options(_: Context) -> str:
    """Render an extension that has no members."""
    return ""
