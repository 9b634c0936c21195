"""Socket addresses, options and control messages between the guest's form and the host's.

Network byte order needs nothing; what differs are the numbers in host order around it.
"""

from __future__ import annotations

import errno
import struct
from typing import TYPE_CHECKING

from user_mode.errors import Errno

if TYPE_CHECKING:
    from user_mode.abi.base import SyscallAbi

AF_UNIX, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET = 1, 2, 10, 16, 17
SOL_SOCKET, SOL_IP, SOL_TCP, SOL_UDP, SOL_IPV6 = 1, 0, 6, 17, 41
SOL_NETLINK = 270
MAX_ADDRESS = 128

_ADDRESS_LAYOUTS = {AF_INET6: "sockaddr_in6", AF_NETLINK: "sockaddr_nl", AF_PACKET: "sockaddr_ll"}
"""Families with more numbers in host order than the family itself."""


def address_to_host(abi: SyscallAbi, data: bytes) -> bytes:
    """A struct sockaddr of the guest's."""
    if len(data) < 2:
        return data
    family = struct.unpack_from(abi.byte_order + "H", data)[0]
    layout = _ADDRESS_LAYOUTS.get(family)
    if layout and len(data) >= abi.structs[layout].size:
        size = abi.structs[layout].size
        return abi.to_host(layout, data[:size]) + data[size:]
    return struct.pack("<H", family) + data[2:]


def address_to_guest(abi: SyscallAbi, data: bytes) -> bytes:
    """A struct sockaddr of the host's."""
    if len(data) < 2:
        return data
    family = struct.unpack_from("<H", data)[0]
    layout = _ADDRESS_LAYOUTS.get(family)
    if layout and len(data) >= abi.host_structs[layout].size:
        size = abi.host_structs[layout].size
        return abi.to_guest(layout, data[:size]) + data[size:]
    return struct.pack(abi.byte_order + "H", family) + data[2:]


# -- options ---------------------------------------------------------------------------------------

# fmt: off
_OPTION_LAYOUTS: dict[str, str] = {
    "SO_LINGER": "linger",            "SO_PEERCRED": "ucred",
    "SO_RCVTIMEO_OLD": "timeval",     "SO_SNDTIMEO_OLD": "timeval",
    "SO_RCVTIMEO_NEW": "timeval64",   "SO_SNDTIMEO_NEW": "timeval64",
    "SO_BINDTODEVICE": "bytes",       "SO_PEERSEC": "bytes",
    "SO_COOKIE": "u64",
}
_OTHER_LAYOUTS: dict[tuple[int, int], str] = {
    (SOL_IP, 4): "bytes",             (SOL_IP, 32): "ip_mreqn",
    (SOL_IP, 35): "ip_mreqn",         (SOL_IP, 36): "ip_mreqn",
    (SOL_IPV6, 20): "ipv6_mreq",      (SOL_IPV6, 21): "ipv6_mreq",
    (SOL_TCP, 11): "tcp_info",        (SOL_TCP, 13): "bytes",
}
# fmt: on
"""Options that are not an int or an array of them, by level and number: IP_OPTIONS,
IP_MULTICAST_IF, IP_ADD_MEMBERSHIP and IP_DROP_MEMBERSHIP, their IPv6 kin, TCP_INFO,
TCP_CONGESTION."""


class Option:
    """One option of getsockopt(2): the host's number and the form of its value."""

    def __init__(self, abi: SyscallAbi, level: int, number: int) -> None:
        """Raises Errno(ENOPROTOOPT) for an option of SOL_SOCKET that is not in the tables."""
        self._abi = abi
        self.number = number
        self._layout = _OTHER_LAYOUTS.get((level, number), "int")
        if level == SOL_SOCKET:
            name = abi.socket_option_names.get(number)
            if name is None or name in ("SO_ATTACH_FILTER", "SO_PEERNAME"):
                raise Errno(errno.ENOPROTOOPT)
            self.number = abi.host_socket_options[name]
            self._layout = _OPTION_LAYOUTS.get(name, "int")
        self._is_ip_multicast = self._layout == "ip_mreqn"

    def to_host(self, data: bytes) -> bytes:
        """The option's value for the host."""
        layout = self._value_layout(data)
        if layout in self._abi.structs:
            return self._abi.to_host(layout, data[: self._abi.structs[layout].size])
        return self._swap(data, layout)

    def to_guest(self, data: bytes) -> bytes:
        """The option's value for the guest."""
        layout = self._value_layout(data)
        if layout in self._abi.structs and len(data) >= self._abi.host_structs[layout].size:
            return self._abi.to_guest(layout, data[: self._abi.host_structs[layout].size])
        return self._swap(data, layout)

    def _value_layout(self, data: bytes) -> str:
        """ip_mreqn has an older, shorter form of two addresses, or of one."""
        short = self._is_ip_multicast and len(data) < 12
        return "bytes" if short else self._layout

    def _swap(self, data: bytes, layout: str) -> bytes:
        if layout == "bytes" or self._abi.byte_order == "<":
            return data
        if layout == "u64":
            return data[::-1]
        count, rest = divmod(len(data), 4)
        if rest:
            return data if len(data) == 1 else data[: 4 * count]
        return struct.pack(f"<{count}I", *struct.unpack(f">{count}I", data))

    def host_size(self, guest_size: int) -> int:
        """How much room the host needs where the guest has `guest_size`."""
        if self._layout in self._abi.structs and not self._is_ip_multicast:
            return self._abi.host_structs[self._layout].size
        return guest_size


# -- control messages ------------------------------------------------------------------------------

SCM_RIGHTS, SCM_CREDENTIALS = 1, 2
_CONTROL_LAYOUTS: dict[tuple[int, int], str] = {
    (SOL_SOCKET, SCM_CREDENTIALS): "ucred",
    (SOL_SOCKET, 29): "timeval",
    (SOL_SOCKET, 35): "timespec",
    (SOL_SOCKET, 63): "timeval64",
    (SOL_SOCKET, 64): "timespec64",
    (SOL_IP, 8): "in_pktinfo",
    (SOL_IPV6, 50): "in6_pktinfo",
}
"""Control messages that are structures; the others are ints: SCM_RIGHTS, IP_TTL, ..."""


def _swap_ints(data: bytes) -> bytes:
    count, rest = divmod(len(data), 4)
    if rest:
        return data
    return struct.pack(f">{count}I", *struct.unpack(f"<{count}I", data))


def control_to_host(abi: SyscallAbi, data: bytes) -> bytes:
    """The control messages of sendmsg(2).  Raises Errno(EINVAL) for a broken chain."""
    header = abi.structs.cmsghdr
    word = abi.long_size
    parts = []
    at = 0
    while at + header.size <= len(data):
        length, level, type_ = header.unpack(data[at : at + header.size])
        if length < header.size or at + length > len(data):
            raise Errno(errno.EINVAL)
        body = data[at + header.size : at + length]
        layout = _CONTROL_LAYOUTS.get((level, type_))
        if layout and len(body) >= abi.structs[layout].size:
            body = abi.to_host(layout, body[: abi.structs[layout].size])
        elif abi.byte_order == ">":
            body = _swap_ints(body)
        parts.append(struct.pack("<Qii", 16 + len(body), level, type_) + body)
        parts.append(bytes(-len(body) % 8))
        at += -(-length // word) * word
    return b"".join(parts)


def control_to_guest(abi: SyscallAbi, data: bytes, room: int) -> tuple[bytes, bool]:
    """The control messages of recvmsg(2), as many as fit; and whether some did not."""
    header = abi.structs.cmsghdr
    word = abi.long_size
    made = b""
    at = 0
    while at + 16 <= len(data):
        length, level, type_ = struct.unpack_from("<Qii", data, at)
        body = data[at + 16 : at + length]
        layout = _CONTROL_LAYOUTS.get((level, type_))
        if layout and len(body) >= abi.host_structs[layout].size:
            body = abi.to_guest(layout, body[: abi.host_structs[layout].size])
        elif abi.byte_order == ">":
            body = _swap_ints(body)
        message = header.pack(header.size + len(body), level, type_) + body
        if len(made) + len(message) > room:
            return made, True
        made += message + bytes(min(-len(message) % word, room - len(made) - len(message)))
        at += -(-length // 8) * 8
    return made, False
