"""Segment descriptors as Linux keeps them: three of the GDT for each thread, an LDT for a process.

A thread's storage is reached through FS (64-bit programs) or GS (32-bit ones), whose selector
stands for a descriptor that set_thread_area(2) or clone(2) has filled.  Compiled code knows the
bases of FS and GS only; they follow here, whenever a selector or a descriptor changes.

Sources: arch/x86/kernel/{tls,ldt}.c, arch/x86/include/asm/{segment,desc}.h, SDM vol. 3, 3.4.  Not
modelled: limits, and bases of the other segments, which are taken to be flat.
"""

from __future__ import annotations

import errno
import struct
from typing import TYPE_CHECKING, NamedTuple

from frontends.x86.state import SEGMENTS, TLS_ENTRIES, X86State
from user_mode.errors import Errno

if TYPE_CHECKING:
    from tcg.cpu import Cpu

USER32_CS, USER_DS, USER_CS = 0x23, 0x2B, 0x33
"""The selectors of Linux on x86-64: 32-bit code, data, 64-bit code."""
TLS_FIRST = 12
"""The first of a thread's entries in the GDT, and with it the selector (12 << 3 | 3)."""
LDT_ENTRIES = 8192
FS, GS = SEGMENTS.index("fs"), SEGMENTS.index("gs")
_SS = SEGMENTS.index("ss")
_BASES = {FS: "fs_base", GS: "gs_base"}

SEG_32BIT, CONTENTS, READ_EXEC_ONLY, IN_PAGES, NOT_PRESENT, USEABLE = 1, 6, 8, 16, 32, 64
"""The bits of `flags` in struct user_desc."""
_KNOWN_FLAGS = 0x7F
_EMPTY_FLAGS = READ_EXEC_ONLY | NOT_PRESENT
_CODE_TYPES = 4
"""From these contents on (2, moved to its place) a segment is code."""

_PRESENT, _CODE, _WRITABLE = 0x80, 8, 2
"""Bits of a descriptor's type; the last one makes data writable and code readable."""

READ_LDT, WRITE_OLD_LDT, READ_DEFAULT_LDT, WRITE_LDT = 0, 1, 2, 0x11
_DEFAULT_LDT_BYTES = 128
_USER_DESC = struct.Struct("<4I")


class BadSelector(Exception):
    """A selector that cannot be loaded: #GP."""


class UserDesc(NamedTuple):
    """struct user_desc."""

    entry: int
    base: int
    limit: int
    flags: int

    @classmethod
    def unpack(cls, data: bytes) -> UserDesc:
        """Read the structure; the bit that only 64-bit programs have is ignored."""
        entry, base, limit, flags = _USER_DESC.unpack(data)
        return cls(entry, base, limit, flags & _KNOWN_FLAGS)

    def pack(self) -> bytes:
        """The structure's bytes."""
        return _USER_DESC.pack(*self)

    @property
    def is_empty(self) -> bool:
        """Whether it clears an entry: LDT_empty() and LDT_zero()."""
        return (self.base, self.limit) == (0, 0) and self.flags in (_EMPTY_FLAGS, 0)


USER_DESC_BYTES = _USER_DESC.size


def descriptor(desc: UserDesc) -> int:
    """The eight bytes of a segment descriptor (SDM vol. 3, figure 3-8); fill_ldt()."""
    writable = 0 if desc.flags & READ_EXEC_ONLY else 2
    kind = (desc.flags & CONTENTS) << 1 | writable | 1
    high = (
        desc.base & 0xFF00_0000
        | bool(desc.flags & IN_PAGES) << 23
        | bool(desc.flags & SEG_32BIT) << 22
        | bool(desc.flags & USEABLE) << 20
        | desc.limit & 0xF0000
        | (not desc.flags & NOT_PRESENT) << 15
        | 0x7000
        | kind << 8
        | desc.base >> 16 & 0xFF
    )
    return high << 32 | (desc.base & 0xFFFF) << 16 | desc.limit & 0xFFFF


def user_desc(entry: int, found: int) -> UserDesc:
    """The structure that describes a descriptor; fill_user_desc()."""
    high = found >> 32
    flags = (
        bool(high & 1 << 22) * SEG_32BIT
        | (high >> 9 & CONTENTS)
        | (not high & 0x200) * READ_EXEC_ONLY
        | bool(high & 1 << 23) * IN_PAGES
        | (not high & 0x8000) * NOT_PRESENT
        | bool(high & 1 << 20) * USEABLE
    )
    return UserDesc(entry, base_of(found), found & 0xFFFF | high & 0xF0000, flags)


def base_of(found: int) -> int:
    """Where a descriptor's segment begins."""
    return found >> 16 & 0xFFFFFF | found >> 56 << 24


class Segments:
    """The descriptor tables, and what loading a selector means for CPUs with this state."""

    def __init__(self, state: X86State) -> None:
        self._selectors = state.selectors.slots
        self._tls = state.tls.slots
        self._bases = {number: state.layout.slots[name] for number, name in _BASES.items()}
        self.ldt: dict[int, int] = {}
        """The process's own descriptors, by index."""

    def reset(self, cpu: Cpu) -> None:
        """As a program finds them: nothing in the tables."""
        self.ldt.clear()
        for slot in self._tls:
            cpu.set(slot, 0)

    # -- selectors -------------------------------------------------------------------------

    def load(self, cpu: Cpu, number: int) -> None:
        """A selector was written to a segment register; raises BadSelector."""
        base = self._base(cpu, cpu.get(self._selectors[number]), is_stack=number == _SS)
        if slot := self._bases.get(number):
            cpu.set(slot, base)

    def load_or_clear(self, cpu: Cpu, number: int) -> None:
        """The same for a selector from memory that nobody has checked: a bad one becomes 0."""
        try:
            self.load(cpu, number)
        except BadSelector:
            cpu.set(self._selectors[number], 0)
            self.load(cpu, number)

    def _base(self, cpu: Cpu, selector: int, is_stack: bool) -> int:
        if selector & ~3 == 0 and not is_stack:
            return 0
        found = self._descriptor(cpu, selector)
        kind = found >> 40
        is_code, is_open = kind & _CODE, kind & _WRITABLE
        usable = is_open and not is_code if is_stack else is_open or not is_code
        if not kind & _PRESENT or not usable:
            raise BadSelector
        return base_of(found)

    def _descriptor(self, cpu: Cpu, selector: int) -> int:
        """The descriptor that a selector means; 0 if there is none for user programs."""
        index = selector >> 3
        if selector & 4:
            return self.ldt.get(index, 0)
        if TLS_FIRST <= index < TLS_FIRST + TLS_ENTRIES:
            return cpu.get(self._tls[index - TLS_FIRST])
        return _GDT.get(index, 0)

    # -- set_thread_area(2) ------------------------------------------------------------------

    def set_entry(self, cpu: Cpu, desc: UserDesc) -> None:
        """do_set_thread_area(): fill an entry of the thread; registers that use it follow."""
        at = self._place(desc.entry)
        if not desc.is_empty and (
            not desc.flags & SEG_32BIT
            or desc.flags & CONTENTS >= _CODE_TYPES
            or desc.flags & NOT_PRESENT
        ):
            raise Errno(errno.EINVAL)
        cpu.set(self._tls[at], 0 if desc.is_empty else descriptor(desc))
        for number in _BASES:
            if cpu.get(self._selectors[number]) >> 3 == desc.entry:
                self.load_or_clear(cpu, number)

    def entry(self, cpu: Cpu, number: int) -> UserDesc:
        """do_get_thread_area()"""
        return user_desc(number, cpu.get(self._tls[self._place(number)]))

    def free_entry(self, cpu: Cpu) -> int:
        """The number of an entry that is not in use."""
        for i, slot in enumerate(self._tls):
            if not cpu.get(slot):
                return TLS_FIRST + i
        raise Errno(errno.ESRCH)

    @staticmethod
    def _place(entry: int) -> int:
        if not TLS_FIRST <= entry < TLS_FIRST + TLS_ENTRIES:
            raise Errno(errno.EINVAL)
        return entry - TLS_FIRST

    # -- modify_ldt(2) -----------------------------------------------------------------------

    def read_ldt(self, size: int) -> bytes:
        """The LDT's first bytes, as far as it has entries."""
        if not self.ldt:
            return b""
        count = min(max(self.ldt) + 1, size // 8)
        entries = struct.pack(f"<{count}Q", *(self.ldt.get(i, 0) for i in range(count)))
        return entries.ljust(min(size, LDT_ENTRIES * 8), b"\0")

    @staticmethod
    def default_ldt(size: int) -> bytes:
        """What the kernel shows of the LDT of programs that have none."""
        return bytes(min(size, _DEFAULT_LDT_BYTES))

    def write_ldt(self, desc: UserDesc, is_old: bool) -> None:
        """write_ldt(): set or clear an entry."""
        is_conforming = desc.flags & CONTENTS == CONTENTS
        if desc.entry >= LDT_ENTRIES:
            raise Errno(errno.EINVAL)
        if is_conforming and (is_old or not desc.flags & NOT_PRESENT):
            raise Errno(errno.EINVAL)
        if desc.is_empty or (is_old and not desc.base and not desc.limit):
            self.ldt.pop(desc.entry, None)
            return
        flags = desc.flags & ~USEABLE if is_old else desc.flags
        self.ldt[desc.entry] = descriptor(desc._replace(flags=flags))


_FLAT_DATA = descriptor(UserDesc(0, 0, 0xFFFFF, SEG_32BIT | IN_PAGES))
_FLAT_CODE = descriptor(UserDesc(0, 0, 0xFFFFF, SEG_32BIT | IN_PAGES | 4))
_GDT = {USER32_CS >> 3: _FLAT_CODE, USER_DS >> 3: _FLAT_DATA, USER_CS >> 3: _FLAT_CODE}
"""The kernel's own entries that user programs may load."""
