"""The host's memory calls, typed: mmap(2) and its family on addresses, through ctypes.

Every function raises Errno.  The short ones keep the GIL: they take about a microsecond, and giving
the GIL away could cost a switch interval to get it back.
"""

from __future__ import annotations

import ctypes
import os
from ctypes import c_int, c_long, c_size_t, c_ssize_t, c_ulong, c_void_p

from user_mode.errors import Errno

PROT_NONE = 0
MAP_PRIVATE, MAP_FIXED, MAP_ANONYMOUS, MAP_NORESERVE = 0x02, 0x10, 0x20, 0x4000
MREMAP_MAYMOVE, MREMAP_FIXED, MREMAP_DONTUNMAP = 1, 2, 4
MADV_DONTNEED, MADV_DONTDUMP = 4, 16

RESERVED = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
_FAILED = c_void_p(-1).value
_PAGE = 4096


class _IoVec(ctypes.Structure):
    _fields_ = (("base", c_void_p), ("length", c_size_t))


class HostMemory:
    """The calls on host addresses.  One instance serves one address space."""

    def __init__(self) -> None:
        short = ctypes.PyDLL(None, use_errno=True)
        self._mmap = short.mmap
        self._mmap.restype = c_void_p
        self._mmap.argtypes = c_void_p, c_size_t, c_int, c_int, c_int, c_long
        self._munmap = short.munmap
        self._munmap.argtypes = c_void_p, c_size_t
        self._mprotect = short.mprotect
        self._mprotect.argtypes = c_void_p, c_size_t, c_int
        self._mremap = short.mremap
        self._mremap.restype = c_void_p
        self._mremap.argtypes = c_void_p, c_size_t, c_size_t, c_int, c_void_p
        self._madvise = short.madvise
        self._madvise.argtypes = c_void_p, c_size_t, c_int
        self._mincore = short.mincore
        self._mincore.argtypes = c_void_p, c_size_t, c_void_p
        self._readv = short.process_vm_readv
        self._writev = short.process_vm_writev
        for call in (self._readv, self._writev):
            call.restype = c_ssize_t
            call.argtypes = c_int, c_void_p, c_ulong, c_void_p, c_ulong, c_ulong
        self._msync = ctypes.CDLL(None, use_errno=True).msync
        self._msync.argtypes = c_void_p, c_size_t, c_int

    def map(
        self, address: int | None, length: int, prot: int, flags: int, fd: int = -1, offset: int = 0
    ) -> int:
        """mmap(2); answers the address."""
        result: int | None = self._mmap(address, length, prot, flags, fd, offset)
        if result is None or result == _FAILED:
            raise Errno(ctypes.get_errno())
        return result

    def reserve(self, address: int, length: int) -> None:
        """Replace whatever is mapped there by inaccessible nothing."""
        self.map(address, length, PROT_NONE, RESERVED | MAP_FIXED)

    def unmap(self, address: int, length: int) -> None:
        """munmap(2)"""
        if self._munmap(address, length):
            raise Errno(ctypes.get_errno())

    def protect(self, address: int, length: int, prot: int) -> None:
        """mprotect(2)"""
        if self._mprotect(address, length, prot):
            raise Errno(ctypes.get_errno())

    def remap(
        self, address: int, old_length: int, new_length: int, flags: int, target: int = 0
    ) -> int:
        """mremap(2); answers the new address."""
        result: int | None = self._mremap(address, old_length, new_length, flags, target)
        if result is None or result == _FAILED:
            raise Errno(ctypes.get_errno())
        return result

    def advise(self, address: int, length: int, advice: int) -> None:
        """madvise(2)"""
        if self._madvise(address, length, advice):
            raise Errno(ctypes.get_errno())

    def sync(self, address: int, length: int, flags: int) -> None:
        """msync(2); other threads run meanwhile."""
        if self._msync(address, length, flags):
            raise Errno(ctypes.get_errno())

    def resident(self, address: int, length: int) -> bytes:
        """mincore(2): a byte a page."""
        vector = ctypes.create_string_buffer(length // 4096)
        if self._mincore(address, length, vector):
            raise Errno(ctypes.get_errno())
        return vector.raw

    def fill(self, address: int, length: int, value: int) -> None:
        """Set bytes of private anonymous memory; whole pages of zeros are given back instead."""
        end = address + length
        inner, inner_end = -(-address // _PAGE) * _PAGE, end // _PAGE * _PAGE
        if value or inner >= inner_end:
            ctypes.memset(address, value, length)
            return
        ctypes.memset(address, 0, inner - address)
        self.advise(inner, inner_end - inner, MADV_DONTNEED)
        ctypes.memset(inner_end, 0, end - inner_end)

    def copy_out(self, address: int, length: int) -> bytes:
        """Up to `length` bytes from `address` on; fewer where they cannot be read."""
        buffer = ctypes.create_string_buffer(length)
        done = self._transfer(self._readv, ctypes.addressof(buffer), address, length)
        return buffer.raw[:done]

    def copy_in(self, address: int, data: bytes) -> int:
        """Write `data` at `address`; answers how many bytes could be written."""
        buffer = (ctypes.c_char * len(data)).from_buffer_copy(data)
        return self._transfer(self._writev, ctypes.addressof(buffer), address, len(data))

    @staticmethod
    def _transfer(call: ctypes._NamedFuncPointer, ours: int, theirs: int, length: int) -> int:
        """process_vm_readv(2) or writev on ourselves: the kernel checks every page."""
        local = _IoVec(ours, length)
        remote = _IoVec(theirs, length)
        done: int = call(os.getpid(), ctypes.byref(local), 1, ctypes.byref(remote), 1, 0)
        return max(done, 0)
