"""Receive filters: what a busy node receives for others should not wake us."""

from __future__ import annotations

import ctypes
import socket
import struct

from tracer.packet import ECHO_REPLY, ICMP, ICMP_ERRORS, ICMPV6, IpFamily

_SOL_RAW, _ICMP_FILTER = 255, 1  # include/linux/socket.h, include/uapi/linux/icmp.h
_ICMPV6_FILTER = 1  # include/uapi/linux/icmpv6.h
_SO_ATTACH_FILTER = 26  # include/uapi/asm-generic/socket.h

_DESTINATION_PORT = 2  # its offset in a TCP header

# include/uapi/linux/bpf_common.h, and Documentation/networking/filter.rst for what they do
_LDX_IHL = 0xB1  # x = 4 * (packet[k] & 15)
_LD_HALF_AT_X = 0x48  # a = packet[x + k], 16 bits
_LD_HALF = 0x28  # a = packet[k], 16 bits
_JEQ = 0x15
_RETURN = 0x06
_WHOLE_PACKET = 0xFFFFFFFF


class _Program(ctypes.Structure):  # struct sock_fprog, include/uapi/linux/filter.h
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def take_answers_only(listener: socket.socket, family: IpFamily) -> None:
    """Let a raw ICMP or ICMPv6 socket receive echo replies and errors (raw(7), RFC 3542 3.2)."""
    protocol = ICMP if family == 4 else ICMPV6
    wanted = {ECHO_REPLY[protocol], *ICMP_ERRORS[protocol]}
    blocked = sum(1 << kind for kind in range(256) if kind not in wanted)
    if family == 4:
        listener.setsockopt(_SOL_RAW, _ICMP_FILTER, struct.pack("=I", blocked & 0xFFFFFFFF))
    else:
        words = [blocked >> 32 * index & 0xFFFFFFFF for index in range(8)]
        listener.setsockopt(socket.IPPROTO_ICMPV6, _ICMPV6_FILTER, struct.pack("=8I", *words))


def take_port_only(listener: socket.socket, family: IpFamily, port: int) -> None:
    """Let a raw TCP socket receive what is for `port`: without a filter it gets every segment of its address.

    The filter sees an IPv4 packet from its IP header on, of IPv6 only what follows the headers (raw(7)).
    """
    load = [(_LDX_IHL, 0, 0, 0), (_LD_HALF_AT_X, 0, 0, _DESTINATION_PORT)]
    if family == 6:
        load = [(_LD_HALF, 0, 0, _DESTINATION_PORT)]
    program = [*load, (_JEQ, 0, 1, port), (_RETURN, 0, 0, _WHOLE_PACKET), (_RETURN, 0, 0, 0)]
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
    listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, bytes(_Program(len(program), code)))
