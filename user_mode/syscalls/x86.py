"""System calls that only x86 has: segments and their bases."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from user_mode.abi.x86 import segments
from user_mode.abi.x86.segments import USER_DESC_BYTES, Segments, UserDesc
from user_mode.errors import Errno
from user_mode.syscalls.table import syscall
from user_mode.syscalls.types import Addr, Int, ULong

if TYPE_CHECKING:
    from user_mode.process import Thread

ARCH_SET_GS, ARCH_SET_FS, ARCH_GET_FS, ARCH_GET_GS = 0x1001, 0x1002, 0x1003, 0x1004
ARCH_GET_CPUID, ARCH_SET_CPUID = 0x1011, 0x1012
_SETS = {ARCH_SET_FS: ("fs_base", "fs"), ARCH_SET_GS: ("gs_base", "gs")}
_GETS = {ARCH_GET_FS: "fs_base", ARCH_GET_GS: "gs_base"}


@syscall
def arch_prctl(thread: Thread, option: Int, address: ULong) -> int:
    """arch_prctl(2): FS's and GS's bases; CPUID can always be used; no shadow stacks (EINVAL)"""
    cpu, process = thread.cpu, thread.process
    slots = cpu.layout.slots
    if process.abi.long_size == 4 and option not in (ARCH_GET_CPUID, ARCH_SET_CPUID):
        raise Errno(errno.EINVAL)
    if found := _SETS.get(option):
        if address >= process.memory.task_size:
            raise Errno(errno.EPERM)
        base, selector = found
        cpu.set(slots[selector], 0)
        cpu.set(slots[base], address)
        return 0
    if option in _GETS:
        process.memory.put_u64(address, cpu.get(slots[_GETS[option]]))
        return 0
    if option == ARCH_GET_CPUID:
        return 1
    raise Errno(errno.ENODEV if option == ARCH_SET_CPUID else errno.EINVAL)


# -- descriptors ---------------------------------------------------------------------------

_ANY_ENTRY = (1 << 32) - 1
_ENTRY_BYTES = 4


@syscall
def set_thread_area(thread: Thread, address: Addr) -> int:
    """set_thread_area(2): the entry -1 asks for one that is free"""
    tables: Segments = thread.process.abi.segments
    memory = thread.process.memory
    desc = UserDesc.unpack(memory.read(address, USER_DESC_BYTES))
    if desc.entry == _ANY_ENTRY:
        desc = desc._replace(entry=tables.free_entry(thread.cpu))
        memory.put_u32(address, desc.entry)
    tables.set_entry(thread.cpu, desc)
    return 0


@syscall
def get_thread_area(thread: Thread, address: Addr) -> int:
    """get_thread_area(2)"""
    tables: Segments = thread.process.abi.segments
    memory = thread.process.memory
    entry = int.from_bytes(memory.read(address, _ENTRY_BYTES), "little")
    memory.write(address, tables.entry(thread.cpu, entry).pack())
    return 0


@syscall
def modify_ldt(thread: Thread, function: Int, address: Addr, size: ULong) -> int:
    """modify_ldt(2); bases count in FS and GS only"""
    tables: Segments = thread.process.abi.segments
    memory = thread.process.memory
    match function:
        case segments.READ_LDT | segments.READ_DEFAULT_LDT:
            is_default = function == segments.READ_DEFAULT_LDT
            data = tables.default_ldt(size) if is_default else tables.read_ldt(size)
            memory.write(address, data)
            return len(data)
        case segments.WRITE_OLD_LDT | segments.WRITE_LDT:
            if size != USER_DESC_BYTES:
                raise Errno(errno.EINVAL)
            desc = UserDesc.unpack(memory.read(address, USER_DESC_BYTES))
            tables.write_ldt(desc, is_old=function == segments.WRITE_OLD_LDT)
            return 0
    raise Errno(errno.ENOSYS)
