"""Extended attributes: names and values are bytes, so nothing is converted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from user_mode.host import call
from user_mode.host_numbers import Nr
from user_mode.syscalls.table import syscall
from user_mode.syscalls.types import Addr, Fd, Int, Lookup, Name, Size, Text

if TYPE_CHECKING:
    from user_mode.process import Thread

DIRECT = """\
removexattr      path:Lookup name:Name
lremovexattr     path:Lookup name:Name
fremovexattr     fd:Fd name:Name
"""


def _out(thread: Thread, number: int, what: tuple[bytes | int, ...], value: int, size: int) -> int:
    where = thread.process.memory.host_range(value, size, True) if size else 0
    return call(number, *what, where, size)


def _in(
    thread: Thread, number: int, what: tuple[bytes | int, ...], value: int, size: int, flags: int
) -> int:
    return call(number, *what, thread.process.memory.host_range(value, size, False), size, flags)


@syscall
def setxattr(thread: Thread, path: Lookup, name: Name, value: Text, size: Size, flags: Int) -> int:
    """setxattr(2)"""
    return _in(thread, Nr.setxattr, (path, name), value, size, flags)


@syscall
def lsetxattr(thread: Thread, path: Lookup, name: Name, value: Text, size: Size, flags: Int) -> int:
    """lsetxattr(2)"""
    return _in(thread, Nr.lsetxattr, (path, name), value, size, flags)


@syscall
def fsetxattr(thread: Thread, fd: Fd, name: Name, value: Text, size: Size, flags: Int) -> int:
    """fsetxattr(2)"""
    return _in(thread, Nr.fsetxattr, (fd, name), value, size, flags)


@syscall
def getxattr(thread: Thread, path: Lookup, name: Name, value: Addr, size: Size) -> int:
    """getxattr(2)"""
    return _out(thread, Nr.getxattr, (path, name), value, size)


@syscall
def lgetxattr(thread: Thread, path: Lookup, name: Name, value: Addr, size: Size) -> int:
    """lgetxattr(2)"""
    return _out(thread, Nr.lgetxattr, (path, name), value, size)


@syscall
def fgetxattr(thread: Thread, fd: Fd, name: Name, value: Addr, size: Size) -> int:
    """fgetxattr(2)"""
    return _out(thread, Nr.fgetxattr, (fd, name), value, size)


@syscall
def listxattr(thread: Thread, path: Lookup, names: Addr, size: Size) -> int:
    """listxattr(2)"""
    return _out(thread, Nr.listxattr, (path,), names, size)


@syscall
def llistxattr(thread: Thread, path: Lookup, names: Addr, size: Size) -> int:
    """llistxattr(2)"""
    return _out(thread, Nr.llistxattr, (path,), names, size)


@syscall
def flistxattr(thread: Thread, fd: Fd, names: Addr, size: Size) -> int:
    """flistxattr(2)"""
    return _out(thread, Nr.flistxattr, (fd,), names, size)
