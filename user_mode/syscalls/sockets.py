"""Sockets.  Older ABIs have one call for all of them, socketcall(2), beside the direct numbers."""

from __future__ import annotations

import errno
import struct
from typing import TYPE_CHECKING

from user_mode.errors import Errno
from user_mode.host import Buffer, blocking, call
from user_mode.host_numbers import Nr
from user_mode.syscalls import guest_memory
from user_mode.syscalls.addresses import (
    AF_NETLINK,
    MAX_ADDRESS,
    Option,
    address_to_guest,
    address_to_host,
    control_to_guest,
    control_to_host,
)
from user_mode.syscalls.guest_memory import address_of
from user_mode.syscalls.table import Syscall, syscall
from user_mode.syscalls.types import (
    Addr,
    Domain,
    Fd,
    Int,
    MsgFlags,
    Size,
    SockLevel,
    SockType,
    Text,
    UInt,
)

if TYPE_CHECKING:
    from user_mode.process import Thread

MSG_CTRUNC, MSG_WAITFORONE = 0x8, 0x10000
_MAX_CONTROL = 1 << 16
_HOST_MSGHDR = struct.Struct("<QixxxxQQQQIxxxx")


def _address_in(thread: Thread, address: int, length: int) -> bytes:
    """The guest's struct sockaddr, as the host's."""
    if not 0 <= length <= MAX_ADDRESS:
        raise Errno(errno.EINVAL)
    data = thread.process.memory.read(address, length) if length else b""
    return address_to_host(thread.process.abi, data)


def _address_out(thread: Thread, address: int, room: int, found: bytes) -> None:
    """Store an address, or as much of it as there is room for."""
    data = address_to_guest(thread.process.abi, found)
    thread.process.memory.write(address, data[:room])


class _Name:
    """The pair of address and length pointer that accept(2) and its kin fill in."""

    def __init__(self, thread: Thread, address: int, length: int) -> None:
        self._thread = thread
        self._address = address
        self._length = length if address else 0
        self._room = 0
        if self._length:
            room = thread.process.memory.u32(length)
            if room >> 31:
                raise Errno(errno.EINVAL)
            self._room = room
        self.buffer = Buffer(MAX_ADDRESS)
        self.size = Buffer(MAX_ADDRESS.to_bytes(4, "little"))

    @property
    def arguments(self) -> tuple[int, int]:
        """The host's two arguments."""
        return (self.buffer.address, self.size.address) if self._address else (0, 0)

    def put_back(self) -> None:
        """Store the address, and its whole length."""
        if not self._length:
            return
        found = int.from_bytes(self.size.raw, "little")
        _address_out(
            self._thread, self._address, self._room, self.buffer.first(min(found, MAX_ADDRESS))
        )
        self._thread.process.memory.put_u32(self._length, found)


# -- making and naming -----------------------------------------------------------------------------


@syscall
def socket(thread: Thread, domain: Domain, type_: SockType, protocol: Int) -> int:
    """socket(2).

    There is no netlink for guests of the other byte order: its messages are not converted, and a
    request that the kernel cannot read would be waited for without end.
    """
    if domain == AF_NETLINK and thread.process.abi.byte_order != "<":
        raise Errno(errno.EAFNOSUPPORT)
    fd = call(Nr.socket, domain, type_, protocol)
    thread.process.fds.closed(fd)
    return fd


@syscall
def socketpair(thread: Thread, domain: Domain, type_: SockType, protocol: Int, result: Addr) -> int:
    """socketpair(2)"""
    pair = Buffer(8)
    call(Nr.socketpair, domain, type_, protocol, pair.address)
    for i, fd in enumerate(struct.unpack("<ii", pair.raw)):
        thread.process.fds.closed(fd)
        thread.process.memory.put_u32(result + 4 * i, fd)
    return 0


@syscall
def bind(thread: Thread, fd: Fd, address: Addr, length: Int) -> int:
    """bind(2)"""
    name = _address_in(thread, address, length)
    return call(Nr.bind, fd, name, len(name))


@syscall
def connect(thread: Thread, fd: Fd, address: Addr, length: Int) -> int:
    """connect(2)"""
    name = Buffer(_address_in(thread, address, length))
    return blocking(thread, Nr.connect, fd, name.address, name.size)


def _accept(thread: Thread, fd: int, address: int, length: int, flags: int) -> int:
    name = _Name(thread, address, length)
    accepted = blocking(thread, Nr.accept4, fd, *name.arguments, flags)
    thread.process.fds.closed(accepted)
    name.put_back()
    return accepted


@syscall
def accept(thread: Thread, fd: Fd, address: Addr, length: Addr) -> int:
    """accept(2)"""
    return _accept(thread, fd, address, length, 0)


@syscall
def accept4(thread: Thread, fd: Fd, address: Addr, length: Addr, flags: SockType) -> int:
    """accept4(2)"""
    return _accept(thread, fd, address, length, flags)


@syscall
def getsockname(thread: Thread, fd: Fd, address: Addr, length: Addr) -> int:
    """getsockname(2)"""
    name = _Name(thread, address, length)
    call(Nr.getsockname, fd, *name.arguments)
    name.put_back()
    return 0


@syscall
def getpeername(thread: Thread, fd: Fd, address: Addr, length: Addr) -> int:
    """getpeername(2)"""
    name = _Name(thread, address, length)
    call(Nr.getpeername, fd, *name.arguments)
    name.put_back()
    return 0


# -- options ---------------------------------------------------------------------------------------


@syscall
def setsockopt(
    thread: Thread, fd: Fd, level: SockLevel, number: Int, value: Addr, length: Int
) -> int:
    """setsockopt(2)"""
    if not 0 <= length <= _MAX_CONTROL:
        raise Errno(errno.EINVAL)
    option = Option(thread.process.abi, level, number)
    data = thread.process.memory.read(value, length) if length else b""
    content = option.to_host(data)
    return call(Nr.setsockopt, fd, level, option.number, content, len(content))


@syscall
def getsockopt(
    thread: Thread, fd: Fd, level: SockLevel, number: Int, value: Addr, length: Addr
) -> int:
    """getsockopt(2)"""
    memory = thread.process.memory
    room = memory.u32(length)
    if room >> 31:
        raise Errno(errno.EINVAL)
    option = Option(thread.process.abi, level, number)
    buffer = Buffer(min(option.host_size(room), _MAX_CONTROL))
    size = Buffer(buffer.size.to_bytes(4, "little"))
    call(Nr.getsockopt, fd, level, option.number, buffer.address, size.address)
    found = buffer.first(int.from_bytes(size.raw, "little"))
    data = option.to_guest(found)[:room]
    memory.write(value, data)
    memory.put_u32(length, len(data))
    return 0


# -- sending and receiving -------------------------------------------------------------------------


@syscall
def send(thread: Thread, fd: Fd, text: Text, count: Size, flags: MsgFlags) -> int:
    """send(2)"""
    where = thread.process.memory.host_range(text, count, False)
    return blocking(thread, Nr.sendto, fd, where, count, flags, 0, 0)


@syscall
def sendto(
    thread: Thread, fd: Fd, text: Text, count: Size, flags: MsgFlags, address: Addr, length: Int
) -> int:
    """sendto(2)"""
    where = thread.process.memory.host_range(text, count, False)
    name = Buffer(_address_in(thread, address, length)) if address else None
    size = name.size if name else 0
    return blocking(thread, Nr.sendto, fd, where, count, flags, address_of(name), size)


@syscall
def recv(thread: Thread, fd: Fd, buffer: Addr, count: Size, flags: MsgFlags) -> int:
    """recv(2)"""
    where = thread.process.memory.host_range(buffer, count, True)
    return blocking(thread, Nr.recvfrom, fd, where, count, flags, 0, 0)


@syscall
def recvfrom(
    thread: Thread, fd: Fd, buffer: Addr, count: Size, flags: MsgFlags, address: Addr, length: Addr
) -> int:
    """recvfrom(2)"""
    where = thread.process.memory.host_range(buffer, count, True)
    name = _Name(thread, address, length)
    received = blocking(thread, Nr.recvfrom, fd, where, count, flags, *name.arguments)
    name.put_back()
    return received


class _Message:
    """One struct msghdr of the guest, and its copy for the host; `keep` holds what it points at."""

    def __init__(self, thread: Thread, address: int, receives: bool) -> None:
        self._thread = thread
        self._address = address
        fields = guest_memory.get(thread, address, "msghdr")
        self._name, self._name_size, vector, count, self._control, self._room, flags = fields
        self._parts, _ = guest_memory.vector(thread, vector, count, write=receives)
        self._name_buffer = self._name_for(receives)
        self._control_buffer = self._control_for(receives)
        self.host = Buffer(
            _HOST_MSGHDR.pack(
                address_of(self._name_buffer),
                self._name_buffer.size if self._name_buffer else 0,
                self._parts.address,
                count,
                address_of(self._control_buffer),
                self._control_buffer.size if self._control_buffer else 0,
                flags,
            )
        )

    def _name_for(self, receives: bool) -> Buffer | None:
        if not self._name:
            return None
        if receives:
            return Buffer(MAX_ADDRESS)
        return Buffer(_address_in(self._thread, self._name, self._name_size))

    def _control_for(self, receives: bool) -> Buffer | None:
        """The host's control messages are longer than those of a 32-bit guest, at most by two."""
        if not self._control or not self._room:
            return None
        if self._room > _MAX_CONTROL:
            raise Errno(errno.ENOBUFS)
        if receives:
            return Buffer(2 * self._room + 32)
        memory = self._thread.process.memory
        data = control_to_host(self._thread.process.abi, memory.read(self._control, self._room))
        return Buffer(data)

    def put_back(self) -> None:
        """Store what was received beside the data: name, control messages, flags."""
        abi = self._thread.process.abi
        memory = self._thread.process.memory
        layout = abi.structs.msghdr
        _, name_size, _, _, _, control_size, flags = _HOST_MSGHDR.unpack(self.host.raw)
        if self._name_buffer is not None:
            found = self._name_buffer.first(min(name_size, MAX_ADDRESS))
            _address_out(self._thread, self._name, self._name_size, found)
        made = b""
        if self._control_buffer is not None:
            data = self._control_buffer.first(control_size)
            made, is_cut = control_to_guest(abi, data, self._room)
            memory.write(self._control, made)
            flags |= MSG_CTRUNC if is_cut else 0
        memory.put_u32(self._address + layout.offset("msg_namelen"), name_size)
        self._put_long(layout.offset("msg_controllen"), len(made))
        memory.put_u32(self._address + layout.offset("msg_flags"), flags)

    def _put_long(self, offset: int, value: int) -> None:
        memory = self._thread.process.memory
        put = memory.put_u64 if self._thread.process.abi.long_size == 8 else memory.put_u32
        put(self._address + offset, value)


@syscall
def sendmsg(thread: Thread, fd: Fd, message: Addr, flags: MsgFlags) -> int:
    """sendmsg(2)"""
    copy = _Message(thread, message, receives=False)
    return blocking(thread, Nr.sendmsg, fd, copy.host.address, flags)


@syscall
def recvmsg(thread: Thread, fd: Fd, message: Addr, flags: MsgFlags) -> int:
    """recvmsg(2)"""
    copy = _Message(thread, message, receives=True)
    received = blocking(thread, Nr.recvmsg, fd, copy.host.address, flags)
    copy.put_back()
    return received


@syscall
def sendmmsg(thread: Thread, fd: Fd, messages: Addr, count: UInt, flags: MsgFlags) -> int:
    """sendmmsg(2), one message after the other"""
    layout = thread.process.abi.structs.mmsghdr
    for i in range(min(count, 1024)):
        address = messages + i * layout.size
        try:
            sent = sendmsg.function(thread, fd, address, flags)
        except Errno:
            if i:
                return i
            raise
        thread.process.memory.put_u32(address + layout.offset("msg_len"), sent or 0)
    return min(count, 1024)


def _recvmmsg(
    thread: Thread, fd: int, messages: int, count: int, flags: int, timeout: int, layout_name: str
) -> int:
    """recvmmsg(2), one message after the other; the timeout is checked, and ignored."""
    layout = thread.process.abi.structs.mmsghdr
    guest_memory.time_buffer(thread, timeout, layout_name)
    msg_dontwait = 0x40
    for i in range(min(count, 1024)):
        address = messages + i * layout.size
        try:
            received = recvmsg.function(thread, fd, address, flags & ~MSG_WAITFORONE)
        except Errno:
            if i:
                return i
            raise
        thread.process.memory.put_u32(address + layout.offset("msg_len"), received or 0)
        if flags & MSG_WAITFORONE:
            flags |= msg_dontwait
    return min(count, 1024)


@syscall
def recvmmsg(
    thread: Thread, fd: Fd, messages: Addr, count: UInt, flags: MsgFlags, timeout: Addr
) -> int:
    """recvmmsg(2)"""
    return _recvmmsg(thread, fd, messages, count, flags, timeout, "timespec")


@syscall
def recvmmsg_time64(
    thread: Thread, fd: Fd, messages: Addr, count: UInt, flags: MsgFlags, timeout: Addr
) -> int:
    """recvmmsg(2) with 64-bit time"""
    return _recvmmsg(thread, fd, messages, count, flags, timeout, "timespec64")


# -- socketcall ------------------------------------------------------------------------------------


@syscall
def listen(thread: Thread, fd: Fd, backlog: Int) -> int:
    """listen(2)"""
    return call(Nr.listen, fd, backlog)


@syscall
def shutdown(thread: Thread, fd: Fd, how: Int) -> int:
    """shutdown(2)"""
    return call(Nr.shutdown, fd, how)


_BY_NUMBER: tuple[Syscall, ...] = (
    socket, bind, connect, listen, accept, getsockname, getpeername, socketpair, send, recv, sendto,
    recvfrom, shutdown, setsockopt, getsockopt, sendmsg, recvmsg, accept4, recvmmsg, sendmmsg,
)  # fmt: skip
"""The calls of socketcall(2) in the order of their numbers, from 1 on: linux/net.h."""


@syscall
def socketcall(thread: Thread, number: Int, arguments: Addr) -> int | None:
    """socketcall(2): a call of the above by its number, its arguments an array of longs."""
    if not 0 < number <= len(_BY_NUMBER):
        raise Errno(errno.EINVAL)
    return multiplexed(thread, _BY_NUMBER[number - 1], arguments)


def multiplexed(thread: Thread, one: Syscall, arguments: int) -> int | None:
    """Make a call whose arguments are an array of longs in memory."""
    from user_mode.syscalls.types import ARGUMENTS

    process = thread.process
    letter = "I" if process.abi.long_size == 4 else "Q"
    count = len(one.parameters)
    data = process.memory.read(arguments, count * process.abi.long_size)
    values: list[int] = list(struct.unpack(f"{process.abi.byte_order}{count}{letter}", data))
    for i, (_, type_) in enumerate(one.parameters):
        kind, convert = ARGUMENTS[type_]
        if kind == "s32":
            values[i] = (values[i] & 0xFFFFFFFF ^ 0x80000000) - 0x80000000
        if convert:
            values[i] = convert(thread, values[i])
    return one(thread, *values)
