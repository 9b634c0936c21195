"""What the host's own processor makes of bytes: how long they are as an instruction, if they are.

    with Stepper() as host: host.length(bytes.fromhex("4889e5"), 64)    ->  3

A child process, stopped, is made to step over one instruction at the end of a page, behind which
nothing is mapped: if fetching faults there, the instruction is longer than what stands before
(Domas, "Breaking the x86 ISA", 2017).  Registers are zero, so that memory operands fault, too; an
instruction that faults is one nevertheless, and only SIGILL says that it is none.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
from types import TracebackType
from typing import NamedTuple, Self

LONGEST = 15
PAGE = 4096
BASE = 0x1000_0000
"""Where the page is: below 4 GiB, for 32-bit code."""

TRACEME, SINGLESTEP, GETREGS, SETREGS, GETSIGINFO = 0, 9, 12, 13, 0x4202
MAP_FIXED_NOREPLACE = 0x10_0000
CS, DATA = {64: 0x33, 32: 0x23}, 0x2B

# The members of user_regs_struct that are set; the others are zero.
REGISTERS = 27
ORIG_RAX, RIP, CS_AT, EFLAGS, RSP, SS, FS_BASE, DS, ES = 15, 16, 17, 18, 19, 20, 21, 23, 24


class Stop(NamedTuple):
    """How a step ended: the signal, how far RIP moved, and of a fault the address, from `edge`."""

    signal: int
    moved: int
    fault: int


class Stepper:
    """The child process.  Raises OSError where processes may not be traced."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._libc.mmap.restype = ctypes.c_void_p
        self._libc.ptrace.restype = ctypes.c_long
        self._registers = (ctypes.c_ulonglong * REGISTERS)()
        self._info = (ctypes.c_int * 32)()
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_FIXED_NOREPLACE
        place = ctypes.c_void_p(BASE), ctypes.c_size_t(2 * PAGE)
        all_of_it = mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
        if self._libc.mmap(*place, all_of_it, flags, -1, ctypes.c_long(0)) != BASE:
            raise OSError(ctypes.get_errno(), "no memory for the code")
        self._libc.mprotect(ctypes.c_void_p(BASE + PAGE), ctypes.c_size_t(PAGE), 0)
        self._pid = os.fork()
        if not self._pid:
            self._libc.ptrace(TRACEME, 0, None, None)
            os.kill(os.getpid(), signal.SIGSTOP)
            os._exit(1)
        self._libc.munmap(*place)
        os.waitpid(self._pid, 0)
        self._memory = os.open(f"/proc/{self._pid}/mem", os.O_RDWR)
        self._call(GETREGS, self._registers)
        self._tls = self._registers[FS_BASE]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._memory)
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)

    def _call(self, request: int, data: ctypes.Array[ctypes.c_ulonglong] | None) -> None:
        if self._libc.ptrace(ctypes.c_long(request), ctypes.c_long(self._pid), None, data) < 0:
            raise OSError(ctypes.get_errno(), f"ptrace {request}")

    def step(self, code: bytes, mode: int) -> Stop:
        """Step over the instruction at the beginning of `code`, which ends where the page does."""
        at = BASE + PAGE - len(code)
        os.pwrite(self._memory, code, at)
        ctypes.memset(self._registers, 0, ctypes.sizeof(self._registers))
        r = self._registers
        r[ORIG_RAX], r[RIP], r[CS_AT], r[EFLAGS] = (1 << 64) - 1, at, CS[mode], 0x202
        r[RSP], r[SS], r[FS_BASE] = BASE + PAGE // 2, DATA, self._tls
        if mode == 32:
            r[DS], r[ES] = DATA, DATA
        self._call(SETREGS, r)
        self._call(SINGLESTEP, None)
        _, status = os.waitpid(self._pid, 0)
        assert os.WIFSTOPPED(status), f"lost the child at {code.hex()}"
        self._call(GETREGS, r)
        self._libc.ptrace(GETSIGINFO, ctypes.c_long(self._pid), None, self._info)
        fault = self._info[4] & 0xFFFF_FFFF | (self._info[5] & 0xFFFF_FFFF) << 32
        return Stop(os.WSTOPSIG(status), r[RIP] - at, fault - BASE - PAGE)

    def is_legal(self, code: bytes, mode: int) -> bool:
        """Whether the bytes begin with an instruction; LONGEST bytes are enough for that."""
        return self.step(code, mode).signal != signal.SIGILL

    def is_longer(self, code: bytes, mode: int) -> bool:
        """Whether the instruction goes on behind these bytes."""
        stop = self.step(code, mode)
        return stop.signal == signal.SIGSEGV and stop.fault == 0 and stop.moved == 0

    def length(self, code: bytes, mode: int) -> int | None:
        """How many bytes the instruction has; None if it is none."""
        if not self.is_legal(code, mode):
            return None
        return next(n for n in range(1, LONGEST + 1) if not self.is_longer(code[:n], mode))
