"""System V IPC: semaphores, messages, shared memory; and POSIX message queues.

Older ABIs have one call for all of System V, ipc(2), beside the direct numbers.
"""

from __future__ import annotations

import errno
import struct
from typing import TYPE_CHECKING

from user_mode.errors import Errno
from user_mode.host import Buffer, blocking, call
from user_mode.host_numbers import Nr
from user_mode.syscalls import guest_memory
from user_mode.syscalls.guest_memory import address_of, for_host, from_host, time_buffer
from user_mode.syscalls.table import syscall
from user_mode.syscalls.types import (
    Addr,
    Fd,
    Int,
    Long,
    Mode,
    Name,
    OpenFlags,
    Size,
    Text,
    UInt,
    ULong,
)

if TYPE_CHECKING:
    from user_mode.process import Thread

DIRECT = """\
semget           key:Int count:Int flags:Int
msgget           key:Int flags:Int
shmget           key:Int size:Size flags:Int
mq_unlink        name:Name
"""

IPC_RMID, IPC_SET, IPC_STAT, IPC_INFO = 0, 1, 2, 3
IPC_64 = 0x100
MSG_STAT, MSG_INFO, MSG_STAT_ANY = 11, 12, 13
SHM_LOCK, SHM_UNLOCK, SHM_STAT, SHM_INFO, SHM_STAT_ANY = 11, 12, 13, 14, 15
GETPID, GETVAL, GETALL, GETNCNT, GETZCNT, SETVAL, SETALL = 11, 12, 13, 14, 15, 16, 17
SEM_STAT, SEM_INFO, SEM_STAT_ANY = 18, 19, 20
SHM_RDONLY, SHM_RND, SHM_REMAP, SHM_EXEC = 0o10000, 0o20000, 0o40000, 0o100000
_PAGE = 4096
_MAX_MESSAGE = 1 << 20


def _control(
    thread: Thread, number: int, ids: tuple[int, ...], command: int, address: int, layout: str
) -> int:
    """msgctl(2), semctl(2), shmctl(2) with a structure in or out."""
    if command == IPC_SET:
        return call(number, *ids, command, for_host(thread, address, layout).address)
    buffer = Buffer(thread.process.abi.host_structs[layout].size)
    result = call(number, *ids, command, buffer.address)
    from_host(thread, address, layout, buffer.raw)
    return result


# -- semaphores ------------------------------------------------------------------------------------


@syscall
def semctl(thread: Thread, sem: Int, index: Int, command: Int, argument: ULong) -> int:
    """semctl(2), with the value of union semun"""
    command &= ~IPC_64
    if command in (GETALL, SETALL):
        return _all_values(thread, sem, command, argument)
    if command in (IPC_STAT, IPC_SET, SEM_STAT, SEM_STAT_ANY):
        return _control(thread, Nr.semctl, (sem, index), command, argument, "semid64_ds")
    if command in (IPC_INFO, SEM_INFO):
        return _control(thread, Nr.semctl, (sem, index), command, argument, "seminfo")
    return call(Nr.semctl, sem, index, command, argument)


def _all_values(thread: Thread, sem: int, command: int, address: int) -> int:
    layout = thread.process.abi.host_structs.semid64_ds
    state = Buffer(layout.size)
    call(Nr.semctl, sem, 0, IPC_STAT, state.address)
    count = layout.values(state.raw)["sem_nsems"]
    guest, host_form = (struct.Struct(f"{o}{count}H") for o in (thread.process.abi.byte_order, "<"))
    if command == SETALL:
        values = guest.unpack(thread.process.memory.read(address, guest.size))
        return call(Nr.semctl, sem, 0, SETALL, host_form.pack(*values))
    buffer = Buffer(host_form.size)
    result = call(Nr.semctl, sem, 0, GETALL, buffer.address)
    thread.process.memory.write(address, guest.pack(*host_form.unpack(buffer.raw)))
    return result


def _semop(thread: Thread, sem: int, operations: int, count: int, timeout: Buffer | None) -> int:
    if not 0 < count <= 512:
        raise Errno(errno.E2BIG if count > 512 else errno.EINVAL)
    size = thread.process.abi.structs.sembuf.size
    data = thread.process.memory.read(operations, count * size)
    parts = (data[i : i + size] for i in range(0, len(data), size))
    request = Buffer(b"".join(thread.process.abi.to_host("sembuf", part) for part in parts))
    return blocking(thread, Nr.semtimedop, sem, request.address, count, address_of(timeout))


@syscall(restarts=False)
def semop(thread: Thread, sem: Int, operations: Addr, count: UInt) -> int:
    """semop(2)"""
    return _semop(thread, sem, operations, count, None)


@syscall(restarts=False)
def semtimedop(thread: Thread, sem: Int, operations: Addr, count: UInt, timeout: Addr) -> int:
    """semtimedop(2)"""
    return _semop(thread, sem, operations, count, time_buffer(thread, timeout, "timespec"))


@syscall(restarts=False)
def semtimedop_time64(
    thread: Thread, sem: Int, operations: Addr, count: UInt, timeout: Addr
) -> int:
    """semtimedop(2) with 64-bit time"""
    return _semop(thread, sem, operations, count, time_buffer(thread, timeout, "timespec64"))


# -- messages --------------------------------------------------------------------------------------


def _long_form(thread: Thread, letter: str = "i") -> struct.Struct:
    """A long, or with the letter "I" an unsigned one."""
    abi = thread.process.abi
    letter = {"i": "q", "I": "Q"}[letter] if abi.long_size == 8 else letter
    return struct.Struct(abi.byte_order + letter)


@syscall(restarts=False)
def msgsnd(thread: Thread, queue: Int, message: Addr, size: Size, flags: Int) -> int:
    """msgsnd(2)"""
    if size > _MAX_MESSAGE:
        raise Errno(errno.EINVAL)
    form = _long_form(thread)
    data = thread.process.memory.read(message, form.size + size)
    request = Buffer(struct.pack("<q", *form.unpack(data[: form.size])) + data[form.size :])
    return blocking(thread, Nr.msgsnd, queue, request.address, size, flags)


@syscall(restarts=False)
def msgrcv(thread: Thread, queue: Int, message: Addr, size: Size, type_: Long, flags: Int) -> int:
    """msgrcv(2)"""
    if size > _MAX_MESSAGE:
        raise Errno(errno.EINVAL)
    buffer = Buffer(8 + size)
    received = blocking(thread, Nr.msgrcv, queue, buffer.address, size, type_, flags)
    data = buffer.first(8 + received)
    kind = _long_form(thread).pack(*struct.unpack("<q", data[:8]))
    thread.process.memory.write(message, kind + data[8:])
    return received


@syscall
def msgctl(thread: Thread, queue: Int, command: Int, buffer: Addr) -> int:
    """msgctl(2)"""
    command &= ~IPC_64
    if command == IPC_RMID:
        return call(Nr.msgctl, queue, command, None)
    layout = "msginfo" if command in (IPC_INFO, MSG_INFO) else "msqid64_ds"
    return _control(thread, Nr.msgctl, (queue,), command, buffer, layout)


# -- shared memory ---------------------------------------------------------------------------------


@syscall
def shmat(thread: Thread, segment: Int, address: Addr, flags: Int) -> int:
    """shmat(2): makes a shared mapping of the guest's, then puts the segment over it"""
    layout = thread.process.abi.host_structs.shmid64_ds
    state = Buffer(layout.size)
    call(Nr.shmctl, segment, IPC_STAT, state.address)
    size = -(-layout.values(state.raw)["shm_segsz"] // _PAGE) * _PAGE
    if address % _PAGE:
        if not flags & SHM_RND:
            raise Errno(errno.EINVAL)
        address -= address % _PAGE
    thread.process.share_memory()
    memory = thread.process.memory
    if address and not flags & SHM_REMAP and _is_taken(thread, address, size):
        raise Errno(errno.EINVAL)
    prot = 1 | (0 if flags & SHM_RDONLY else 2) | (4 if flags & SHM_EXEC else 0)
    map_shared_anonymous, map_fixed = 0x21, 0x10
    how = map_shared_anonymous | (map_fixed if address else 0)
    place = memory.mmap(address, size, prot, how, name=f"/SYSV{segment:08x}")
    try:
        where = memory.host_range(place, size, True)
        call(Nr.shmat, segment, where, flags & SHM_RDONLY | SHM_REMAP)
    except Errno:
        memory.munmap(place, size)
        raise
    thread.process.shared_segments[place] = size
    return place


def _is_taken(thread: Thread, start: int, size: int) -> bool:
    memory = thread.process.memory
    return any(memory.is_mapped(page, 1) for page in range(start, start + size, _PAGE))


@syscall
def shmdt(thread: Thread, address: Addr) -> int:
    """shmdt(2)"""
    size = thread.process.shared_segments.pop(address, None)
    if size is None:
        raise Errno(errno.EINVAL)
    thread.process.memory.munmap(address, size)
    return 0


@syscall
def shmctl(thread: Thread, segment: Int, command: Int, buffer: Addr) -> int:
    """shmctl(2)"""
    command &= ~IPC_64
    if command in (IPC_RMID, SHM_LOCK, SHM_UNLOCK):
        return call(Nr.shmctl, segment, command, None)
    layouts = {IPC_INFO: "shminfo64", SHM_INFO: "shm_info"}
    layout = layouts.get(command, "shmid64_ds")
    return _control(thread, Nr.shmctl, (segment,), command, buffer, layout)


# -- ipc(2) ----------------------------------------------------------------------------------------


@syscall(restarts=False)
def ipc(
    thread: Thread, number: UInt, first: Int, second: Int, third: ULong, pointer: Addr, fifth: Long
) -> int:
    """ipc(2): the calls above by their numbers in linux/ipc.h"""
    version, number = number >> 16, number & 0xFFFF
    flags = (third & 0xFFFFFFFF ^ 0x80000000) - 0x80000000
    match number:
        case 1:
            return _semop(thread, first, pointer, second, None)
        case 2:
            return call(Nr.semget, first, second, third)
        case 3:
            argument = _word(thread, pointer)
            return _made(semctl(thread, first, second, third, argument))
        case 4:
            limit = time_buffer(thread, fifth & 0xFFFFFFFF, "timespec")
            return _semop(thread, first, pointer, second, limit)
        case 11:
            return _made(msgsnd(thread, first, pointer, second, flags))
        case 12:
            if version == 0:
                pointer, fifth = _kludge(thread, pointer)
            return _made(msgrcv(thread, first, pointer, second, fifth, flags))
        case 13:
            return call(Nr.msgget, first, second)
        case 14:
            return _made(msgctl(thread, first, second, pointer))
        case 21:
            place = _made(shmat(thread, first, pointer, second))
            thread.process.memory.write(third, _long_form(thread, "I").pack(place))
            return 0
        case 22:
            return _made(shmdt(thread, pointer))
        case 23:
            return call(Nr.shmget, first, second, third)
        case 24:
            return _made(shmctl(thread, first, second, pointer))
    raise Errno(errno.ENOSYS)


def _made(result: int | None) -> int:
    return result or 0


def _word(thread: Thread, address: int) -> int:
    """An unsigned long in memory."""
    form = _long_form(thread, "I")
    value: int = form.unpack(thread.process.memory.read(address, form.size))[0]
    return value


def _kludge(thread: Thread, pointer: int) -> tuple[int, int]:
    """The old form of msgrcv: address and type of the message in memory."""
    form = _long_form(thread)
    (kind,) = form.unpack(thread.process.memory.read(pointer + form.size, form.size))
    return _word(thread, pointer), kind


# -- POSIX message queues --------------------------------------------------------------------------


@syscall
def mq_open(thread: Thread, name: Name, flags: OpenFlags, mode: Mode, attributes: Addr) -> int:
    """mq_open(2)"""
    request = for_host(thread, attributes, "mq_attr") if attributes else None
    fd = call(Nr.mq_open, name, flags, mode, address_of(request))
    thread.process.fds.closed(fd)
    return fd


def _mq_send(
    thread: Thread, fd: int, text: int, size: int, priority: int, timeout: Buffer | None
) -> int:
    where = thread.process.memory.host_range(text, size, False)
    return blocking(thread, Nr.mq_timedsend, fd, where, size, priority, address_of(timeout))


def _mq_receive(
    thread: Thread, fd: int, buffer: int, size: int, priority: int, timeout: Buffer | None
) -> int:
    where = thread.process.memory.host_range(buffer, size, True)
    found = Buffer(4)
    arguments = (fd, where, size, found.address, address_of(timeout))
    received = blocking(thread, Nr.mq_timedreceive, *arguments)
    if priority:
        thread.process.memory.put_u32(priority, int.from_bytes(found.raw, "little"))
    return received


@syscall
def mq_timedsend(
    thread: Thread, fd: Fd, text: Text, size: Size, priority: UInt, timeout: Addr
) -> int:
    """mq_send(2)"""
    limit = time_buffer(thread, timeout, "timespec")
    return _mq_send(thread, fd, text, size, priority, limit)


@syscall
def mq_timedsend_time64(
    thread: Thread, fd: Fd, text: Text, size: Size, priority: UInt, timeout: Addr
) -> int:
    """mq_send(2) with 64-bit time"""
    limit = time_buffer(thread, timeout, "timespec64")
    return _mq_send(thread, fd, text, size, priority, limit)


@syscall
def mq_timedreceive(
    thread: Thread, fd: Fd, buffer: Addr, size: Size, priority: Addr, timeout: Addr
) -> int:
    """mq_receive(2)"""
    limit = time_buffer(thread, timeout, "timespec")
    return _mq_receive(thread, fd, buffer, size, priority, limit)


@syscall
def mq_timedreceive_time64(
    thread: Thread, fd: Fd, buffer: Addr, size: Size, priority: Addr, timeout: Addr
) -> int:
    """mq_receive(2) with 64-bit time"""
    limit = time_buffer(thread, timeout, "timespec64")
    return _mq_receive(thread, fd, buffer, size, priority, limit)


@syscall
def mq_notify(thread: Thread, fd: Fd, event: Addr) -> int:
    """mq_notify(2)"""
    request = for_host(thread, event, "sigevent") if event else None
    return call(Nr.mq_notify, fd, address_of(request))


@syscall
def mq_getsetattr(thread: Thread, fd: Fd, new: Addr, old: Addr) -> int:
    """mq_getattr(3) and mq_setattr(3)"""
    request = for_host(thread, new, "mq_attr") if new else None
    found = Buffer(thread.process.abi.host_structs.mq_attr.size)
    call(Nr.mq_getsetattr, fd, address_of(request), found.address)
    if old:
        guest_memory.from_host(thread, old, "mq_attr", found.raw)
    return 0
