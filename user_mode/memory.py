"""A guest's address space: mmap(2) and its kin with the meaning that Linux gives them.

What is mapped is kept as areas (`user_mode.areas`) and done on the host at `base` + the guest's
address; `user_mode.pages` reads and writes it.  Nothing is ever unmapped on the host: what the
guest gives up becomes reserved again, so that no mapping of the emulator's own comes to lie there.

Not modelled: huge pages (ENOMEM, as on a machine that has none configured), MADV_DONTFORK (a child
would get a hole in its reservation).
"""

from __future__ import annotations

import os
from errno import EBADF, EEXIST, EFAULT, EINVAL, ENOMEM, EPERM
from stat import S_ISREG

from user_mode.areas import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_GROWSDOWN,
    MAP_PRIVATE,
    MAP_SHARED,
    MAP_SHARED_VALIDATE,
    MAP_TYPE,
    PROT_EXEC,
    PROT_READ,
    PROT_WRITE,
    Area,
    AreaMap,
    MappedFile,
)
from user_mode.errors import Errno
from user_mode.host_memory import MREMAP_DONTUNMAP, MREMAP_FIXED, MREMAP_MAYMOVE
from user_mode.pages import HOST_PROT, IN_PAGE, PAGE, PLAIN, GuestPages, page_up

MIN_ADDRESS = 0x10000
"""vm.mmap_min_addr: what mmap(2) never chooses, and does not allow to users."""
STACK_GAP = 256 * PAGE
"""What Linux keeps free below a stack that grows."""

PROT_SEM, PROT_GROWSDOWN, PROT_GROWSUP = 0x8, 0x01000000, 0x02000000
MAP_NORESERVE, MAP_HUGETLB, MAP_FIXED_NOREPLACE = 0x4000, 0x40000, 0x100000
MAP_32BIT, LOW_START, LOW_END = 0x40, 0x40000000, 0x80000000
"""x86-64's way to ask for an address that fits a signed 32-bit number."""
_MAP_LOCKED, _MAP_POPULATE, _MAP_NONBLOCK, _MAP_SYNC = 0x2000, 0x8000, 0x10000, 0x80000
_AREA_FLAGS = MAP_TYPE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_GROWSDOWN
_HOST_FLAGS = (
    MAP_TYPE | MAP_ANONYMOUS | MAP_NORESERVE
    | _MAP_LOCKED | _MAP_POPULATE | _MAP_NONBLOCK | _MAP_SYNC
)  # fmt: skip
MS_ASYNC, MS_INVALIDATE, MS_SYNC = 1, 2, 4
SEGV_MAPERR, SEGV_ACCERR = 1, 2

_DROPS_CONTENTS = frozenset((4, 8, 9))
"""MADV_DONTNEED, MADV_FREE, MADV_REMOVE"""
_IGNORED_ADVICE = frozenset((10, 11))
"""MADV_DONTFORK, MADV_DOFORK"""
_KNOWN_ADVICE = frozenset((*range(5), *range(8, 24)))


class GuestMemory(GuestPages):
    """The memory of one guest process.

    Addresses and lengths are the guest's; flags, advice and errors are the host's numbers.  What
    mmap(2) and its kin refuse raises their errno.
    """

    def __init__(
        self, size: int = 1 << 32, byte_order: str = ">", task_size: int = 0xC0000000
    ) -> None:
        """`size` is the reach of guest addresses, `task_size` the end of what can be mapped."""
        super().__init__(size, byte_order)
        self.task_size = task_size
        self.mmap_base = task_size - (128 << 20)
        """Where mmap(2) begins to look for room, downwards."""
        self.read_implies_exec = False
        """The personality of programs that do not say whether their stack is executable."""
        self.address_limit: int | None = None
        """RLIMIT_AS: how much may be mapped; None for no limit."""
        self.stack_limit = 8 << 20
        """RLIMIT_STACK: how large an area grows that grows when touched below."""
        self.areas = AreaMap()
        self._shared_files = 0
        self.start_brk = self._brk = 0

    # -- mmap(2) and munmap(2) -------------------------------------------------------------

    def mmap(
        self,
        address: int,
        length: int,
        prot: int,
        flags: int,
        fd: int = -1,
        offset: int = 0,
        name: str = "",
    ) -> int:
        """mmap(2), `offset` in bytes; `name` is what /proc/self/maps shows of anonymous memory."""
        if prot & ~(PROT_READ | PROT_WRITE | PROT_EXEC | PROT_SEM) or offset & IN_PAGE:
            raise Errno(EINVAL)
        if not flags & MAP_ANONYMOUS:
            _status(fd)
        if not length:
            raise Errno(EINVAL)
        prot &= 7
        if self.read_implies_exec and prot & PROT_READ:
            prot |= PROT_EXEC
        with self.change:
            length = page_up(length)
            self._check_limit(length)
            start = self._place(address, length, flags)
            if flags & MAP_TYPE not in (MAP_SHARED, MAP_PRIVATE, MAP_SHARED_VALIDATE):
                raise Errno(EINVAL)
            self._map(start, length, prot, flags, fd, offset, name)
        return start

    def _check_limit(self, more: int) -> None:
        if more > self.task_size:
            raise Errno(ENOMEM)
        if self.address_limit is not None:
            mapped = sum(area.end - area.start for area in self.areas)
            if mapped + more > self.address_limit:
                raise Errno(ENOMEM)

    def _place(self, address: int, length: int, flags: int) -> int:
        """Choose the address of a mapping, as get_unmapped_area() does."""
        if flags & MAP_HUGETLB:
            raise Errno(ENOMEM)
        if flags & (MAP_FIXED | MAP_FIXED_NOREPLACE):
            return self._place_fixed(address, length, flags)
        if address:
            address = max(address & -PAGE, MIN_ADDRESS)
            if address <= self.task_size - length and self._is_clear(address, address + length):
                return address
        if flags & MAP_32BIT and self.task_size > LOW_END:
            found = self.areas.lowest_gap(length, LOW_START, LOW_END)
            if found is None:
                raise Errno(ENOMEM)
            return found
        found = self.areas.highest_gap(length, MIN_ADDRESS, self.mmap_base)
        if found is None:
            found = self.areas.lowest_gap(length, page_up(self.task_size // 3), self.task_size)
        if found is None:
            raise Errno(ENOMEM)
        return found

    def _place_fixed(self, address: int, length: int, flags: int) -> int:
        if address > self.task_size - length:
            raise Errno(ENOMEM)
        if address & IN_PAGE:
            raise Errno(EINVAL)
        if address < MIN_ADDRESS and os.geteuid() != 0:
            raise Errno(EPERM)
        if flags & MAP_FIXED_NOREPLACE and not self.areas.is_free(address, address + length):
            raise Errno(EEXIST)
        return address

    def _is_clear(self, start: int, end: int) -> bool:
        """Whether the range is free, and not too close below a growing stack."""
        above = self.areas.first_above(start)
        gap = STACK_GAP if above is not None and above.grows_down else 0
        return self.areas.is_free(start, end + gap)

    def _map(
        self, start: int, length: int, prot: int, flags: int, fd: int, offset: int, name: str
    ) -> None:
        end = start + length
        area = self._new_area(start, end, prot, flags, fd, offset, name)
        self.drop_code(start, end)
        host_flags = flags & _HOST_FLAGS | MAP_FIXED
        try:
            self.host.map(self.base + start, length, HOST_PROT[prot], host_flags, fd, offset)
        except Errno:
            if self.areas.is_free(start, end):
                self.host.reserve(self.base + start, length)
            raise
        self.areas.carve(start, end)
        self._insert(area)

    def _new_area(
        self, start: int, end: int, prot: int, flags: int, fd: int, offset: int, name: str
    ) -> Area:
        kept = flags & _AREA_FLAGS
        if flags & MAP_ANONYMOUS:
            file = self._new_shared_file() if flags & MAP_SHARED else None
            return Area(start, end, prot, kept, file, name=name)
        status = _status(fd)
        if prot & PROT_EXEC and os.fstatvfs(fd).f_flag & os.ST_NOEXEC:
            raise Errno(EPERM)
        # A shared file may be cut short by anybody while it is mapped; a private one could be too,
        # but programs and libraries are not, and their strings are what is read most.
        inside = offset + end - start <= page_up(status.st_size)
        plain = inside and not flags & MAP_SHARED and S_ISREG(status.st_mode)
        path = os.fsencode(os.readlink(f"/proc/self/fd/{fd}"))
        file = MappedFile(path, status.st_dev, status.st_ino)
        return Area(start, end, prot, kept, file, offset, plain=plain)

    def _new_shared_file(self) -> MappedFile:
        """What stands behind shared memory: as in Linux, a file of its own that has no name."""
        self._shared_files += 1
        return MappedFile(b"/dev/zero (deleted)", 1, self._shared_files)

    def _insert(self, area: Area) -> None:
        self.areas.insert(area)
        self._set_area_access(area)

    def _set_area_access(self, area: Area) -> None:
        readable = PROT_READ | (PLAIN if area.plain else 0) if area.prot else 0
        self.set_access(area.start, area.end, area.prot | readable)

    def munmap(self, address: int, length: int) -> None:
        """munmap(2)"""
        end = address + page_up(length)
        if address & IN_PAGE or not length or end > self.task_size:
            raise Errno(EINVAL)
        with self.change:
            self._unmap(address, end)

    def _unmap(self, start: int, end: int) -> None:
        gone = self.areas.carve(start, end)
        if not gone:
            return
        start, end = gone[0].start, gone[-1].end
        self.set_access(start, end, 0)
        self.drop_code(start, end)
        self.host.reserve(self.base + start, end - start)

    def reset(self) -> None:
        """Forget everything, as execve(2) does; `code_changed` is not told."""
        with self.lock:
            self.areas.clear()
            self.forget()
            self.read_implies_exec = False
            self.start_brk = self._brk = 0

    # -- mprotect(2) -----------------------------------------------------------------------

    def mprotect(self, address: int, length: int, prot: int) -> None:
        """mprotect(2)"""
        grows = prot & (PROT_GROWSDOWN | PROT_GROWSUP)
        prot &= ~grows
        end = address + page_up(length)
        if address & IN_PAGE or grows == PROT_GROWSDOWN | PROT_GROWSUP:
            raise Errno(EINVAL)
        if not length:
            return
        if end > self.size:
            raise Errno(ENOMEM)
        if prot & ~(PROT_READ | PROT_WRITE | PROT_EXEC | PROT_SEM) or grows == PROT_GROWSUP:
            raise Errno(EINVAL)
        prot &= 7
        if self.read_implies_exec and prot & PROT_READ:
            prot |= PROT_EXEC
        with self.change:
            if grows:
                address = self._growing_start(address)
            self._protect(address, end, prot)

    def _growing_start(self, address: int) -> int:
        """Where PROT_GROWSDOWN begins: at the start of the stack that holds `address`."""
        area = self.areas.find(address)
        if area is None:
            raise Errno(ENOMEM)
        if not area.grows_down:
            raise Errno(EINVAL)
        return area.start

    def _protect(self, start: int, end: int, prot: int) -> None:
        """Areas up to the first hole change, as in Linux; then the hole is an error."""
        covered = self.areas.covered_until(start, end)
        for area in self.areas.overlapping(start, covered):
            changed = area.with_prot(prot)
            if not prot & PROT_EXEC or prot & ~area.prot & PROT_WRITE:
                self.drop_code(area.start, area.end)  # how it is translated depends on both
            self.protect_host(area.start, area.end, prot)
            self.areas.carve(area.start, area.end)
            self._insert(changed)
        if covered < end:
            raise Errno(ENOMEM)

    # -- brk(2) and stacks -----------------------------------------------------------------

    def set_start_brk(self, address: int) -> None:
        """Where the heap begins: after the program's .bss."""
        self.start_brk = self._brk = page_up(address)

    def brk(self, address: int) -> int:
        """brk(2) as the kernel has it: answers the new end of the heap, or the old one."""
        with self.change:
            if not self.start_brk <= address <= self.task_size:
                return self._brk
            old_end, new_end = page_up(self._brk), page_up(address)
            if new_end < old_end:
                self._unmap(new_end, old_end)
            elif new_end > old_end and not self._grow_heap(old_end, new_end):
                return self._brk
            self._brk = address
            return address

    def _grow_heap(self, start: int, end: int) -> bool:
        if not self._is_clear(start, end + PAGE):
            return False
        prot = PROT_READ | PROT_WRITE | (PROT_EXEC if self.read_implies_exec else 0)
        flags = MAP_PRIVATE | MAP_ANONYMOUS
        try:
            self._check_limit(end - start)
            self._map(start, end - start, prot, flags, -1, 0, "[heap]")
        except Errno:
            return False
        return True

    def _grow_down(self, address: int) -> bool:
        """Extend the growing area above `address` down to its page, if it may."""
        area = self.areas.first_above(address)
        if area is None or not area.grows_down or not 0 <= address < area.start:
            return False
        start = address & -PAGE
        below = self.areas.last_below(area.start)
        floor = below.end + STACK_GAP if below else MIN_ADDRESS
        if start < floor or area.end - start > self.stack_limit:
            return False
        self._map(start, area.start - start, area.prot, area.flags, -1, 0, area.name)
        return True

    # -- mremap(2) -------------------------------------------------------------------------

    def mremap(
        self, address: int, old_length: int, new_length: int, flags: int = 0, target: int = 0
    ) -> int:
        """mremap(2); answers where the mapping is now."""
        old_length, new_length = page_up(old_length), page_up(new_length)
        if (
            flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP)
            or (flags & (MREMAP_FIXED | MREMAP_DONTUNMAP) and not flags & MREMAP_MAYMOVE)
            or (flags & MREMAP_DONTUNMAP and old_length != new_length)
            or address & IN_PAGE
            or not new_length
        ):
            raise Errno(EINVAL)
        with self.change:
            if flags & (MREMAP_FIXED | MREMAP_DONTUNMAP):
                return self._remap_to(address, old_length, new_length, flags, target)
            return self._remap(address, old_length, new_length, flags)

    def _remap_to(self, old: int, old_length: int, new_length: int, flags: int, new: int) -> int:
        if (
            new & IN_PAGE
            or new > self.task_size - new_length
            or (new < old + old_length and old < new + new_length)
        ):
            raise Errno(EINVAL)
        area = self._remappable(old, min(old_length, new_length))
        if flags & MREMAP_DONTUNMAP and (area.file or area.is_shared):
            raise Errno(EINVAL)
        if flags & MREMAP_FIXED:
            self._unmap(new, new + new_length)
        if old_length > new_length:
            self._unmap(old + new_length, old + old_length)
            old_length = new_length
        area = self._remappable(old, old_length)  # Unmapping the target may have taken it away.
        if not flags & MREMAP_FIXED:
            new = self._place(new, new_length, 0)
        self._move(area, old_length, new, new_length, keep=bool(flags & MREMAP_DONTUNMAP))
        return new

    def _remap(self, old: int, old_length: int, new_length: int, flags: int) -> int:
        if self.areas.find(old) is None:
            raise Errno(EFAULT)
        if old_length >= new_length:
            if old_length > new_length:
                self._unmap(old + new_length, old + old_length)
            return old
        area = self._remappable(old, old_length)
        self._check_limit(new_length - old_length)
        end = old + old_length
        whole = self.areas.find(old)
        at_end = old_length and whole is not None and whole.end == end
        if at_end and old + new_length <= self.task_size and self._is_clear(end, old + new_length):
            self._extend(area, new_length)
            return old
        if not flags & MREMAP_MAYMOVE:
            raise Errno(ENOMEM)
        new = self._place(0, new_length, 0)
        self._move(area, old_length, new, new_length, keep=False)
        return new

    def _remappable(self, start: int, length: int) -> Area:
        """The part of an area that can be remapped: it has to be of one piece."""
        area = self.areas.find(start)
        if area is None or start + length > area.end:
            raise Errno(EFAULT)
        if not length and not area.is_shared:
            raise Errno(EINVAL)
        return area.cut(start, start + length)

    def _extend(self, area: Area, new_length: int) -> None:
        """Let an area grow in place."""
        end = area.start + new_length
        if area.file is None and not area.is_shared:
            self._map(area.end, end - area.end, area.prot, area.flags, -1, 0, area.name)
            return
        self.drop_code(area.start, area.end)
        host = self.base + area.start
        length = area.end - area.start
        # Length 0 makes a second mapping of shared pages, so that the first stays until replaced.
        away = self.host.remap(host, 0 if area.is_shared else length, new_length, MREMAP_MAYMOVE)
        self.host.remap(away, new_length, new_length, MREMAP_MAYMOVE | MREMAP_FIXED, host)
        self.areas.carve(area.start, area.end)
        self._insert(_grown(area, area.start, new_length))

    def _move(self, area: Area, old_length: int, new: int, new_length: int, keep: bool) -> None:
        """Move an area's pages to `new`; `keep` leaves fresh pages behind (MREMAP_DONTUNMAP)."""
        old, old_end = area.start, area.start + old_length
        self.drop_code(old, old_end)
        try:
            self._move_host(area, old_length, new, new_length)
        except Errno:
            self.host.reserve(self.base + new, new_length)
            raise
        if old_length and not keep:
            self.areas.carve(old, old_end)
            self.set_access(old, old_end, 0)
            self.host.reserve(self.base + old, old_length)
        self._insert(_grown(area, new, new_length))

    def _move_host(self, area: Area, old_length: int, new: int, new_length: int) -> None:
        """The host's part of a move.  Where it can, it leaves the old place mapped."""
        source, target = self.base + area.start, self.base + new
        flags = MREMAP_MAYMOVE | MREMAP_FIXED
        if area.is_shared:
            self.host.remap(source, 0, new_length, flags, target)
            return
        if area.file is not None:
            self.host.remap(source, old_length, new_length, flags, target)
            return
        try:
            self.host.remap(source, old_length, old_length, flags | MREMAP_DONTUNMAP, target)
        except Errno:  # Linux before 5.7
            self.host.remap(source, old_length, old_length, flags, target)
        if new_length > old_length:
            prot, map_flags = HOST_PROT[area.prot], area.flags & _HOST_FLAGS | MAP_FIXED
            self.host.map(target + old_length, new_length - old_length, prot, map_flags)

    # -- madvise(2), msync(2), mincore(2) --------------------------------------------------

    def madvise(self, address: int, length: int, advice: int) -> None:
        """madvise(2): what is mapped is advised, then a hole is ENOMEM."""
        end = address + page_up(length)
        if advice not in _KNOWN_ADVICE or address & IN_PAGE or end > self.size:
            raise Errno(EINVAL)
        with self.change:
            areas = self.areas.overlapping(address, end)
            for area in areas:
                if advice in _DROPS_CONTENTS:
                    self.drop_code(area.start, area.end)
                if advice not in _IGNORED_ADVICE:
                    self.host.advise(self.base + area.start, area.end - area.start, advice)
            if self.areas.covered_until(address, end) < end:
                raise Errno(ENOMEM)

    def msync(self, address: int, length: int, flags: int) -> None:
        """msync(2); other threads run while the disk is waited for."""
        end = address + page_up(length)
        if (
            flags & ~(MS_ASYNC | MS_INVALIDATE | MS_SYNC)
            or flags & (MS_ASYNC | MS_SYNC) == MS_ASYNC | MS_SYNC
            or address & IN_PAGE
        ):
            raise Errno(EINVAL)
        with self.lock:
            areas = self.areas.overlapping(address, min(end, self.size))
            is_whole = self.areas.covered_until(address, end) == end
        for area in areas:
            self.host.sync(self.base + area.start, area.end - area.start, flags)
        if not is_whole:
            raise Errno(ENOMEM)

    def mincore(self, address: int, length: int) -> bytes:
        """mincore(2): a byte a page, its lowest bit set if the page is in memory."""
        if address & IN_PAGE:
            raise Errno(EINVAL)
        with self.lock:
            if not self.is_mapped(address, length):
                raise Errno(ENOMEM)
            return self.host.resident(self.base + address, page_up(length)) if length else b""

    # -- what is mapped -----------------------------------------------------------------------

    def is_mapped(self, start: int, length: int) -> bool:
        """Whether every page of the range is mapped, with whatever protection."""
        end = start + length
        with self.lock:
            return self.areas.covered_until(start & -PAGE, end) >= end

    def maps(self, word_size: int = 4) -> bytes:
        """The text of /proc/self/maps."""
        with self.lock:
            return b"".join(_maps_line(area, 25 + word_size * 6 - 1) for area in self.areas)

    def fault_code(self, address: int) -> int:
        """si_code of the SIGSEGV for a bad access: SEGV_MAPERR or SEGV_ACCERR."""
        with self.lock:
            return SEGV_MAPERR if self.areas.find(address) is None else SEGV_ACCERR

    def settle_fault(self, address: int, write: bool) -> bool:
        """Whether a SIGSEGV of the guest at `address` is none of its faults, and can be retried.

        So it is when another thread changed the page's protection meanwhile, or when the access is
        right below a stack that grows.
        """
        with self.change:
            if self.allows(address, PROT_WRITE if write else PROT_READ):
                start = address & -PAGE
                self.drop_code(start, start + PAGE)
                self.protect_host(start, start + PAGE, self.protection(address))
                return True
            return self._grow_down(address)


def _status(fd: int) -> os.stat_result:
    try:
        return os.fstat(fd)
    except (OSError, OverflowError):
        raise Errno(EBADF) from None


def _grown(area: Area, start: int, length: int) -> Area:
    """An area after mremap(2): where it grows it may reach past the end of its file."""
    new = area.moved(start, start + length)
    if length > area.end - area.start and (area.file or area.is_shared):
        new.plain = False
    return new


def _maps_line(area: Area, width: int) -> bytes:
    """A line of /proc/self/maps, as show_map_vma() writes it."""
    letters = "".join(c if area.prot & bit else "-" for c, bit in (("r", 1), ("w", 2), ("x", 4)))
    letters += "s" if area.is_shared else "p"
    file = area.file
    device = f"{os.major(file.device):02x}:{os.minor(file.device):02x}" if file else "00:00"
    inode = file.inode if file else 0
    line = f"{area.start:08x}-{area.end:08x} {letters} {area.offset:08x} {device} {inode} "
    name = file.path.replace(b"\n", b"\\012") if file else area.name.encode()
    return (f"{line:{width}} ".encode() + name if name else line.encode()) + b"\n"
