"""The bytes of a guest's memory: reading and writing them, and watching those that were translated.

The whole guest space is reserved once, so that guest address + `base` is the host address and
whatever the guest has not mapped faults.  `user_mode.memory` maps things into it.  What may be done
with each page is one byte in a table, which makes a small read or write from Python about as cheap
as a method call; where a host fault is possible all the same (a file may be cut short while it is
mapped) the kernel copies, and tells.

Host protection follows the guest's, with two differences: host pages are never executable, and a
page from which code was translated is not writable (`protect_code`), so that the native fault
handler learns of self-modifying code.  It knows such pages by the table at `page_flags`, a byte a
page: it makes the page writable, then sets DIRTY, and the run loop calls `take_dirty`.

Locking: public methods take `lock`; `code_changed` is always called without it, after the change.
Hold `lock` over a fork(2).
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable
from errno import EFAULT, ENAMETOOLONG
from threading import RLock
from typing import Literal

from tcg.faults import GuestFault
from user_mode.areas import PROT_EXEC, PROT_READ, PROT_WRITE
from user_mode.errors import Errno, UserError
from user_mode.host_memory import MADV_DONTDUMP, MAP_FIXED, RESERVED, HostMemory

PAGE_BITS = 12
PAGE = 1 << PAGE_BITS
IN_PAGE = PAGE - 1
GUARD = 1 << 16
"""Bytes on both sides of the guest's addresses that fault too: no access is wider, and compiled
code adds displacements of up to half of it to an address that it has cut to size."""

CODE, DIRTY = 1, 2
"""Bits of the page flags: code was translated from the page; it was written since."""

PLAIN = 8
"""The bit of the access table beside PROT_*: Python may touch the page itself."""

_READABLE = PROT_READ | PLAIN
_WRITABLE = PROT_READ | PROT_WRITE | PLAIN
_ALL_READABLE = bytes(v for v in range(16) if v & _READABLE == _READABLE)
_ALL_WRITABLE = bytes(v for v in range(16) if v & _WRITABLE == _WRITABLE)

HOST_PROT = (0, 1, 3, 3, 1, 1, 3, 3)
"""Host protection by the guest's PROT_READ|WRITE|EXEC: execute is read, write implies read."""

_FEW_PAGES = 1 << 12
"""Up to so many entries of a table are looked through as they are."""


def page_up(address: int) -> int:
    """The next page boundary, or `address` if it is one."""
    return (address + IN_PAGE) & -PAGE


def _no_room(size: int) -> str:
    """Why a guest's address space cannot be: `ulimit -v`, or a host that counts all it promises."""
    import resource

    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    text = f"cannot reserve {size >> 30} GiB of address space for the program"
    if limit != resource.RLIM_INFINITY:
        return f"{text}, as no more than {limit >> 20} MiB are allowed; ulimit -v unlimited"
    return f"{text}; sysctl vm.overcommit_memory=0 allows it"


def _view(address: int, size: int) -> memoryview:
    """Host memory as a sequence of bytes."""
    return memoryview((ctypes.c_char * size).from_address(address)).cast("B")


def _no_code_changed(start: int, end: int) -> None:
    """What is told of changed code when nobody translates."""


class _Change:
    """`with` this, the lock is held, and changes of code are reported once it is free again."""

    def __init__(self, pages: GuestPages) -> None:
        self._pages = pages
        self._depth = 0

    def __enter__(self) -> None:
        self._pages.lock.acquire()
        self._depth += 1

    def __exit__(self, *_: object) -> None:
        pages = self._pages
        self._depth -= 1
        stale: list[tuple[int, int]] = []
        if not self._depth and pages.stale:
            stale, pages.stale = pages.stale, []
        pages.lock.release()
        for start, end in stale:
            pages.code_changed(start, end)


class GuestPages:
    """The bytes of one guest process and what may be done with them.

    Addresses and lengths are the guest's, as unsigned numbers.  Whatever cannot be read or written
    raises Errno(EFAULT).
    """

    def __init__(self, size: int, byte_order: str) -> None:
        """`size` is the reach of guest addresses, `byte_order` that of the struct module."""
        self.size = size
        self.code_changed: Callable[[int, int], None] = _no_code_changed
        """Told the range of every watched page that changed, is gone, or is executable no more."""
        self.lock = RLock()
        self.host = HostMemory()
        self._tables_size = size >> PAGE_BITS
        self.base = self._reserve(size + 2 * GUARD, 0) + GUARD
        self.page_flags = self._reserve(self._tables_size, PROT_READ | PROT_WRITE)
        self.page_access = self._reserve(self._tables_size, PROT_READ | PROT_WRITE)
        self._view = _view(self.base, size)
        self._flags = _view(self.page_flags, self._tables_size)
        self._access = _view(self.page_access, self._tables_size)
        self._code_pages: set[int] = set()
        self.stale: list[tuple[int, int]] = []
        self.change = _Change(self)
        letters = {2: "H", 4: "I", 8: "Q"}
        self._structs = {n: struct.Struct(byte_order + c) for n, c in letters.items()}
        self._byte_order: Literal["big", "little"] = "big" if byte_order == ">" else "little"

    def _reserve(self, length: int, prot: int) -> int:
        """Room in our own address space, which costs nothing until it is touched.

        It stays out of core dumps: the kernel would look at each of its pages.
        """
        try:
            address = self.host.map(None, length, prot, RESERVED)
        except Errno:
            raise UserError(_no_room(self.size)) from None
        self.host.advise(address, length, MADV_DONTDUMP)
        return address

    def close(self) -> None:
        """Give the host memory back; nothing may be used after."""
        self.host.unmap(self.base - GUARD, self.size + 2 * GUARD)
        self.host.unmap(self.page_flags, self._tables_size)
        self.host.unmap(self.page_access, self._tables_size)
        self._tables_size = self.size = 0

    def forget(self) -> None:
        """Make all of it inaccessible; `code_changed` is not told."""
        self.host.reserve(self.base, self.size)
        self.host.advise(self.base, self.size, MADV_DONTDUMP)
        for table in (self.page_flags, self.page_access):
            self.host.map(table, self._tables_size, 3, RESERVED | MAP_FIXED)
            self.host.advise(table, self._tables_size, MADV_DONTDUMP)
        self._code_pages.clear()
        self.stale.clear()

    def set_access(self, start: int, end: int, value: int) -> None:
        """Note what may be done with the pages of a range: PROT_* and PLAIN; 0 for nothing."""
        first, last = start >> PAGE_BITS, end >> PAGE_BITS
        if last - first <= _FEW_PAGES:
            self._access[first:last] = bytes((value,)) * (last - first)
        else:
            self.host.fill(self.page_access + first, last - first, value)

    # -- reading and writing ---------------------------------------------------------------

    def read(self, address: int, length: int) -> bytes:
        """`length` bytes from `address` on."""
        page = address >> PAGE_BITS
        with self.lock:
            if (  # The usual case, one page, is worth its own lines: every system call reads.
                address >= 0
                and (address + length - 1) >> PAGE_BITS == page < self._tables_size
                and self._access[page] & _READABLE == _READABLE
            ):
                return self._view[address : address + length].tobytes()
            if self._is_direct(address, length, _READABLE, _ALL_READABLE):
                return self._view[address : address + length].tobytes()
            return self._read_through_kernel(address, length)

    def write(self, address: int, data: bytes) -> None:
        """Put `data` at `address`; what is not writable may end it with a part written."""
        length = len(data)
        page = address >> PAGE_BITS
        with self.lock:
            if (
                address >= 0
                and (address + length - 1) >> PAGE_BITS == page < self._tables_size
                and self._access[page] & _WRITABLE == _WRITABLE
                and not self._flags[page]
            ):
                self._view[address : address + length] = data
                return
        with self.change:
            if self._is_direct(address, length, _WRITABLE, _ALL_WRITABLE):
                if self._has_code(address, address + length):
                    self.drop_code(address, address + length)
                self._view[address : address + length] = data
            else:
                self._write_through_kernel(address, data)

    def _is_direct(self, address: int, length: int, mask: int, allowed: bytes) -> bool:
        """Whether Python may touch these bytes without risking a host fault."""
        first = address >> PAGE_BITS
        last = (address + length - 1) >> PAGE_BITS
        if address < 0 or length <= 0 or last >= len(self._access):
            return False
        if first == last:
            return self._access[first] & mask == mask
        return not self._access[first : last + 1].tobytes().translate(None, allowed)

    def _check_range(self, address: int, length: int) -> None:
        if address < 0 or length < 0 or address + length > self.size:
            raise Errno(EFAULT)

    def _read_through_kernel(self, address: int, length: int) -> bytes:
        self._check_range(address, length)
        data = self.host.copy_out(self.base + address, length) if length else b""
        if len(data) < length:
            raise Errno(EFAULT)
        return data

    def _write_through_kernel(self, address: int, data: bytes) -> None:
        self._check_range(address, len(data))
        if not data:
            return
        self.drop_code(address, address + len(data))
        if self.host.copy_in(self.base + address, data) < len(data):
            raise Errno(EFAULT)

    def cstring(self, address: int, limit: int = 1 << 20) -> bytes:
        """The bytes from `address` up to a NUL, which is not part of the result.

        Raises Errno(ENAMETOOLONG) if there is none within `limit` bytes.
        """
        parts = []
        found = 0
        while found < limit:
            chunk = self.read(address, min(256, PAGE - (address & IN_PAGE)))
            end = chunk.find(0)
            if end >= 0:
                parts.append(chunk[:end])
                return b"".join(parts)
            parts.append(chunk)
            found += len(chunk)
            address += len(chunk)
        raise Errno(ENAMETOOLONG)

    def _number(self, address: int, size: int) -> int:
        page = address >> PAGE_BITS
        with self.lock:
            if (
                0 <= address <= self.size - size
                and (address & IN_PAGE) <= PAGE - size
                and self._access[page] & _READABLE == _READABLE
            ):
                value: int = self._structs[size].unpack_from(self._view, address)[0]
                return value
        return int.from_bytes(self.read(address, size), self._byte_order)

    def _put_number(self, address: int, size: int, value: int) -> None:
        packing = self._structs[size]
        value &= (1 << 8 * size) - 1
        page = address >> PAGE_BITS
        with self.lock:
            if (
                0 <= address <= self.size - size
                and (address & IN_PAGE) <= PAGE - size
                and self._access[page] & _WRITABLE == _WRITABLE
                and not self._flags[page]
            ):
                packing.pack_into(self._view, address, value)
                return
        self.write(address, packing.pack(value))

    def u8(self, address: int) -> int:
        """The byte at `address`."""
        return self.read(address, 1)[0]

    def u16(self, address: int) -> int:
        """The 16-bit number at `address`, in the guest's byte order."""
        return self._number(address, 2)

    def u32(self, address: int) -> int:
        """The 32-bit number at `address`."""
        return self._number(address, 4)

    def u64(self, address: int) -> int:
        """The 64-bit number at `address`."""
        return self._number(address, 8)

    def put_u8(self, address: int, value: int) -> None:
        """Store a byte, cut to its size like all the others."""
        self.write(address, bytes((value & 0xFF,)))

    def put_u16(self, address: int, value: int) -> None:
        """Store a 16-bit number in the guest's byte order."""
        self._put_number(address, 2, value)

    def put_u32(self, address: int, value: int) -> None:
        """Store a 32-bit number."""
        self._put_number(address, 4, value)

    def put_u64(self, address: int, value: int) -> None:
        """Store a 64-bit number."""
        self._put_number(address, 8, value)

    def host_range(self, address: int, length: int, write: bool) -> int:
        """The host address for a kernel access to these bytes.

        What is not mapped is the kernel's to refuse with EFAULT; only what lies outside the guest's
        reach is refused here.  Before a kernel write, code protection is dropped.  Another thread
        may translate from the page again before the kernel writes: who gets EFAULT where `allows`
        says that writing is right asks again.
        """
        self._check_range(address, length)
        if write and length and self._has_code(address, address + length):
            with self.change:
                self.drop_code(address, address + length)
        return self.base + address

    # -- what may be done ------------------------------------------------------------------

    def allows(self, address: int, prot: int) -> bool:
        """Whether the guest may access the byte at `address` in all ways of `prot`."""
        if not 0 <= address < self.size:
            return False
        return self._access[address >> PAGE_BITS] & prot == prot

    def protection(self, address: int) -> int:
        """PROT_* of the page that holds `address`, with what they imply."""
        return self._access[address >> PAGE_BITS] & 7

    def executable(self, address: int) -> bool:
        """Whether the guest may run code at `address`."""
        return self.allows(address, PROT_EXEC)

    def fetch(self, address: int, length: int) -> bytes:
        """Instruction bytes: as many of `length` as lie in executable pages, at least one.

        Raises GuestFault where there is none.
        """
        with self.lock:
            if not self.executable(address):
                raise GuestFault(address)
            end = min(address + length, self.size)
            stop = page_up(address + 1)
            while stop < end and self.executable(stop):
                stop += PAGE
            end = min(end, stop)
            if self._is_direct(address, end - address, _READABLE, _ALL_READABLE):
                return self._view[address:end].tobytes()
            data = self.host.copy_out(self.base + address, end - address)
        if not data:
            raise GuestFault(address, is_bus=True)
        return data

    # -- pages with translated code --------------------------------------------------------

    def protect_code(self, address: int, stays_open: bool = False) -> None:
        """Watch the page of `address` for writes, as code is being translated from it.

        One that stays open may be written by the guest itself; all others are reported.
        Call this before `fetch`, and for read-only pages too: they may be mapped over.
        """
        page = address >> PAGE_BITS
        with self.lock:
            flags = self._flags[page]
            if flags == CODE:
                return
            if not flags:
                self._flags[page] = CODE
                self._code_pages.add(page)
            if self._access[page] & PROT_WRITE and not stays_open:
                self.host.protect(self.base + (page << PAGE_BITS), PAGE, PROT_READ)

    def open_code(self, address: int) -> None:
        """Watch the page of `address` no more; whoever says so drops its code himself."""
        page = address >> PAGE_BITS
        with self.lock:
            if self._flags[page]:
                self._unwatch(page)

    def may_change(self, address: int) -> bool:
        """Whether the guest may write to the page of `address`."""
        return self.allows(address, PROT_WRITE)

    def take_dirty(self) -> list[int]:
        """The addresses of pages with code that the guest wrote to; they are watched no more."""
        with self.lock:
            dirty = [page for page in self._code_pages if self._flags[page] & DIRTY]
            for page in dirty:
                self._unwatch(page)
        return [page << PAGE_BITS for page in dirty]

    def _unwatch(self, page: int) -> None:
        self._flags[page] = 0
        self._code_pages.discard(page)
        if self._access[page] & PROT_WRITE:
            self.host.protect(self.base + (page << PAGE_BITS), PAGE, PROT_READ | PROT_WRITE)

    def _has_code(self, start: int, end: int) -> bool:
        first = start >> PAGE_BITS
        last = (end - 1) >> PAGE_BITS
        if first == last:
            return self._flags[first] != 0
        if last - first > _FEW_PAGES:
            return any(first <= page <= last for page in self._code_pages)
        return bool(self._flags[first : last + 1].tobytes().strip(b"\0"))

    def code_in(self, start: int, end: int) -> list[int]:
        """The pages with code that touch the range."""
        if end <= start or not self._has_code(start, end):
            return []
        first, last = start >> PAGE_BITS, page_up(end) >> PAGE_BITS
        if last - first > _FEW_PAGES:
            return sorted(page for page in self._code_pages if first <= page < last)
        flags = self._flags[first:last].tobytes()
        return [first + i for i, flag in enumerate(flags) if flag]

    def drop_code(self, start: int, end: int) -> None:
        """Stop watching the pages of the range; `code_changed` is told when the lock is free."""
        for page in self.code_in(start, end):
            self._unwatch(page)
            self.stale.append((page << PAGE_BITS, (page + 1) << PAGE_BITS))

    def protect_host(self, start: int, end: int, prot: int) -> None:
        """Give host pages the guest's protection, but keep pages with code unwritable."""
        watched = self.code_in(start, end) if prot & PROT_WRITE else []
        for page in watched:
            at = page << PAGE_BITS
            if at > start:
                self.host.protect(self.base + start, at - start, HOST_PROT[prot])
            self.host.protect(self.base + at, PAGE, PROT_READ)
            start = at + PAGE
        if end > start:
            self.host.protect(self.base + start, end - start, HOST_PROT[prot])
