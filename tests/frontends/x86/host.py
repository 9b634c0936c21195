"""The host's own processor as a witness: runs cases natively, in a process of its own.

    host = Host(); host.write(host.code(64), code); host.run(64, cases, window=256)

The child process is a loop in machine code (host.s) over arrays in shared memory; what it runs may
do anything short of a system call: SIGILL, SIGTRAP, SIGBUS, SIGFPE and SIGSEGV are results, and if
the child is lost it is started again.  32-bit code runs by a far jump into the kernel's 32-bit code
segment, 16-bit code in segments of a local descriptor table.
"""

from __future__ import annotations

import mmap
import os
import re
import select
import struct
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.frontends.x86 import case

MIB = 1 << 20

# fmt: off
CONTROL   = 0x2000_0000
PROGRAM   = 0x2000_1000
CODE      = 0x2100_0000     # of 64-bit and 32-bit code
DATA      = 0x2200_0000     # 64 KiB; windows lie in it
FLAT16    = 0x2400_0000     # the 64 KiB of 16-bit code and data
BEFORE    = 0x3600_0000_0000
AFTER     = 0x3700_0000_0000

CODE_SIZE, DATA_SIZE, FLAT16_SIZE, CASES_SIZE = MIB, 0x1_0000, 0x1_0000, 8 * MIB
CODE16, CODE16_SIZE = 0x1000, 0x7000
DATA16, DATA16_SIZE = 0x9000, 0x6000
# fmt: on

FS_BASE_32, GS_BASE_32 = 0x40, DATA
FS_BASE_16, GS_BASE_16 = 0x40, 0x80
"""Where FS and GS start.  With GS, 16-bit addresses in 32-bit code reach the data."""

EXITS = 8

# fmt: off
_AT = {name: CONTROL + 8 * i for i, name in enumerate((
    "CURRENT", "END", "AFTER", "STRIDE", "DATA_AT", "WINDOW_SIZE", "USES_VECTORS", "ENTER",
    "ENTRY", "FAR_ENTRY", "HOST_SP", "HOST_FS", "HOST_GS", "SAVED_RAX", "EXIT_NUMBER",
    "DATA_SELECTOR", "STACK_SELECTOR", "FS_SELECTOR", "GS_SELECTOR", "MXCSR_DEFAULT",
    "EXIT_PCS",
))}
_LDT = 7
CS64, SS64, CS32 = 0x33, 0x2B, 0x23
CS16, DS16, FS32, GS32, FS16, GS16 = (8 * i + _LDT for i in range(6))
_CODE16, _DATA16, _DATA32 = 0x44, 0x40, 0x51
SEGMENTS = (
    0, FLAT16, 0xFFFF, _CODE16,
    1, FLAT16, 0xFFFF, _DATA16,
    2, FS_BASE_32, 0xFFFFF, _DATA32,
    3, GS_BASE_32, 0xFFFFF, _DATA32,
    4, FLAT16 + FS_BASE_16, 0xFFFF, _DATA16,
    5, FLAT16 + GS_BASE_16, 0xFFFF, _DATA16,
)
SELECTORS = {
    64: (0, CS64, SS64, 0, 0, 0),
    32: (SS64, CS32, SS64, SS64, FS32, GS32),
    16: (DS16, CS16, DS16, DS16, FS16, GS16),
}
"""What is in es, cs, ss, ds, fs, gs while cases of a mode run."""
# fmt: on

TRAP = b"\xcc"


@dataclass(frozen=True, slots=True)
class Place:
    """Where code and data of a mode lie, as the guest sees them; `host` is added on the host."""

    mode: int
    code: int
    code_size: int
    data: int
    data_size: int
    host: int


PLACES = {
    64: Place(64, CODE, CODE_SIZE, DATA, DATA_SIZE, 0),
    32: Place(32, CODE, CODE_SIZE, DATA, DATA_SIZE, 0),
    16: Place(16, CODE16, CODE16_SIZE, DATA16, DATA16_SIZE, FLAT16),
}


class HostLost(Exception):
    """The child process ended or hung; `case` is the number of the case that it was at."""

    def __init__(self, at: int) -> None:
        super().__init__(f"the host's process was lost at case {at}")
        self.case = at


@cache
def features() -> frozenset[str]:
    """What the host's processor has, by the kernel's names (/proc/cpuinfo)."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("flags"):
            return frozenset(line.partition(":")[2].split())
    return frozenset()


def is_usable() -> bool:
    """The host is an x86-64 Linux whose processor can do what host.s needs."""
    return os.uname().machine == "x86_64" and {"avx", "fsgsbase", "xsave"} <= features()


def assemble() -> tuple[bytes, dict[str, int]]:
    """host.s as machine code, and what it defines."""
    from backend.llvm.compilation import compile_module
    from backend.llvm.llvmlite_api import Options

    numbers = {f"case.{k}": v for k, v in vars(case).items() if k.isupper()}
    numbers |= {**_AT, "EXITS": EXITS}
    text = re.sub(r"#.*", "", Path(__file__).with_name("host.s").read_text())
    text = re.sub(r"\{\{([\w.]+)\}\}", lambda found: str(numbers[found[1]]), text)
    lines = [".intel_syntax noprefix", *filter(str.strip, text.splitlines())]
    module = "".join(f'module asm "{line}"\n' for line in lines)
    blob = compile_module(module, Options(level=0)).blob
    assert not blob.relocations
    return blob.code, blob.exports


class Host:
    """A child process and the memory shared with it."""

    def __init__(self) -> None:
        program, self._symbols = assemble()
        sizes = {
            CONTROL: 4096, PROGRAM: 4096 * (1 + len(program) // 4096), CODE: CODE_SIZE,
            DATA: DATA_SIZE, FLAT16: FLAT16_SIZE, BEFORE: CASES_SIZE, AFTER: CASES_SIZE,
        }  # fmt: skip
        self._fd = os.memfd_create("cases")
        os.ftruncate(self._fd, sum(sizes.values()))
        self._areas: list[int] = []
        self._views: dict[int, memoryview] = {}
        offset = 0
        for address, size in sizes.items():
            self._areas += (address, offset, size)
            self._views[address] = memoryview(mmap.mmap(self._fd, size, offset=offset))
            offset += size
        self._views[PROGRAM][: len(program)] = program
        self.before, self.after = self._views[BEFORE], self._views[AFTER]
        self._child: subprocess.Popen[bytes] | None = None
        self.has_segments = False
        for mode, place in PLACES.items():
            self.write(mode, place.code, TRAP * place.code_size)

    def _start(self) -> subprocess.Popen[bytes]:
        numbers = [
            self._fd, PROGRAM + self._symbols["host_run"], PROGRAM + self._symbols["host_signal"],
            len(self._areas), *self._areas, *SEGMENTS,
        ]  # fmt: skip
        script = str(Path(__file__).with_name("host_child.py"))
        command = [sys.executable, "-I", "-S", script, *map(str, numbers)]
        child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=(self._fd,), bufsize=0
        )
        assert child.stdout is not None
        self.has_segments = child.stdout.read(1) == b"y"
        return child

    def close(self) -> None:
        """End the child."""
        if self._child is not None:
            self._child.kill()
            self._child.communicate()
            self._child = None

    # -- memory ----------------------------------------------------------------------------

    def _find(self, mode: int, address: int, size: int) -> tuple[memoryview, int]:
        address += PLACES[mode].host
        for start, view in self._views.items():
            if start <= address and address + size <= start + len(view):
                return view, address - start
        raise ValueError(f"nothing is at {address:#x}")

    def write(self, mode: int, address: int, data: bytes) -> None:
        """Write memory at an address as code of that mode sees it."""
        view, at = self._find(mode, address, len(data))
        view[at : at + len(data)] = data

    def read(self, mode: int, address: int, size: int) -> bytes:
        """Read it."""
        view, at = self._find(mode, address, size)
        return bytes(view[at : at + size])

    def exit_code(self, mode: int, number: int) -> bytes:
        """Code that ends a case at exit `number`, changing nothing."""
        target = PROGRAM + self._symbols["host_exits"] + 16 * number
        if mode == 64:
            # jmp [rip + 0], and the address
            return b"\xff\x25" + bytes(4) + struct.pack("<Q", target)
        far = struct.pack("<BIH", 0xEA, target, CS64)
        return b"\x66" + far if mode == 16 else far

    # -- running ---------------------------------------------------------------------------

    def _set(self, name: str, value: int) -> None:
        at = _AT[name] - CONTROL
        self._views[CONTROL][at : at + 8] = value.to_bytes(8, "little")

    def _get(self, name: str) -> int:
        at = _AT[name] - CONTROL
        return int.from_bytes(self._views[CONTROL][at : at + 8], "little")

    def prepare(self, mode: int, entry: int, window_at: int, exits: Sequence[int]) -> None:
        """Say where cases start, where their window lies, and the pc that each exit stands for."""
        place = PLACES[mode]
        self._set("DATA_AT", window_at + place.host)
        self._set("MXCSR_DEFAULT", case.STATUS)
        enter = "host_enter64" if mode == 64 else "host_enter32"
        self._set("ENTER", PROGRAM + self._symbols[enter])
        self._set("ENTRY", entry)
        _, cs, ss, ds, fs, gs = SELECTORS[mode]
        self._set("FAR_ENTRY", cs << 32 | entry)
        names = ("DATA_SELECTOR", "STACK_SELECTOR", "FS_SELECTOR", "GS_SELECTOR")
        for name, value in zip(names, (ds, ss, fs, gs), strict=True):
            self._set(name, value)
        at = _AT["EXIT_PCS"] - CONTROL
        self._views[CONTROL][at : at + 8 * len(exits)] = struct.pack(f"<{len(exits)}Q", *exits)

    def run(self, count: int, window: int, vectors: bool, timeout: float = 20.0) -> None:
        """Run `count` cases of `before` into `after`; raises HostLost."""
        stride = case.WINDOW + window
        self._set("CURRENT", BEFORE)
        self._set("END", BEFORE + count * stride)
        self._set("AFTER", AFTER)
        self._set("STRIDE", stride)
        self._set("WINDOW_SIZE", window)
        self._set("USES_VECTORS", int(vectors))
        if self._child is None:
            self._child = self._start()
        assert self._child.stdin is not None and self._child.stdout is not None
        self._child.stdin.write(b"r")
        ready, _, _ = select.select([self._child.stdout], [], [], timeout)
        if not ready or not self._child.stdout.read(1):
            self.close()
            raise HostLost((self._get("CURRENT") - BEFORE) // stride)
