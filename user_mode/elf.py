"""ELF files: the headers, checked, and what to say of a file that cannot be run.

The headers are read with `struct`, not `construct`: this runs at every start and every execve, and
importing construct takes 38 ms of the 300 that a whole warm start may take.
"""

from __future__ import annotations

import errno
import os
import struct
from stat import S_ISDIR, S_ISREG
from typing import Literal, NamedTuple

from user_mode.errors import BadImage, shown

ET_REL, ET_EXEC, ET_DYN, ET_CORE = 1, 2, 3, 4
PT_LOAD, PT_INTERP, PT_GNU_STACK = 1, 3, 0x6474E551
PF_X, PF_W, PF_R = 1, 2, 4

MAGIC = b"\x7fELF"
_BITS = {1: 32, 2: 64}
_ORDERS: dict[int, Literal["little", "big"]] = {1: "little", 2: "big"}
_HEADER = {32: "HHIIIIIHHHHHH", 64: "HHIQQQIHHHHHH"}
_SEGMENT = {32: "IIIIIIII", 64: "IIQQQQQQ"}
_HEADERS_LIMIT = 65536
"""The kernel takes no more program headers than fill this."""
_PATH_MAX = 4096


class Machine(NamedTuple):
    """What a file was made for: e_machine, word size and byte order."""

    number: int
    bits: int
    order: Literal["little", "big"]


# fmt: off
_FAMILIES: dict[int, tuple[str, str, str]] = {
    2:      ("EM_SPARC",      "a SPARC",          ""),
    3:      ("EM_386",        "an i386",          "i386=32-little"),
    4:      ("EM_68K",        "a 68000",          ""),
    8:      ("EM_MIPS",       "a MIPS",           ("mips=32-big mipsel=32-little "
                                                  "mips64=64-big mips64el=64-little")),
    15:     ("EM_PARISC",     "a PA-RISC",        ""),
    18:     ("EM_SPARC32PLUS","a SPARC v8+",      ""),
    20:     ("EM_PPC",        "a PowerPC",        "ppc=32-big"),
    21:     ("EM_PPC64",      "a 64-bit PowerPC", "ppc64=64-big ppc64le=64-little"),
    22:     ("EM_S390",       "an S/390",         ""),
    40:     ("EM_ARM",        "an ARM",           "arm=32-little"),
    42:     ("EM_SH",         "a SuperH",         ""),
    43:     ("EM_SPARCV9",    "a SPARC v9",       "sparc64=64-big"),
    50:     ("EM_IA_64",      "an Itanium",       ""),
    62:     ("EM_X86_64",     "an x86-64",        "x86_64=64-little"),
    83:     ("EM_AVR",        "an AVR",           ""),
    92:     ("EM_OPENRISC",   "an OpenRISC",      ""),
    94:     ("EM_XTENSA",     "an Xtensa",        ""),
    164:    ("EM_QDSP6",      "a Hexagon",        ""),
    183:    ("EM_AARCH64",    "an AArch64",       "aarch64=64-little"),
    189:    ("EM_MICROBLAZE", "a MicroBlaze",     ""),
    243:    ("EM_RISCV",      "a RISC-V",         "riscv32=32-little riscv64=64-little"),
    247:    ("EM_BPF",        "a BPF",            ""),
    258:    ("EM_LOONGARCH",  "a LoongArch",      ""),
    0x9026: ("EM_ALPHA",      "an Alpha",         ""),
}
# fmt: on
"""By e_machine: how to speak of it; which command (after `qemupy-`) runs which of its shapes."""

_KINDS = {
    ET_REL: "an object file, not linked to a program",
    ET_CORE: "a core dump",
}


class OtherMachine(BadImage):
    """An ELF program for another machine than the one that is emulated."""

    def __init__(self, message: str, machine: Machine) -> None:
        super().__init__(message, errno.ENOEXEC)
        self.machine = machine


class Segment(NamedTuple):
    """A program header."""

    type: int
    flags: int
    offset: int
    address: int
    file_size: int
    memory_size: int
    align: int

    @property
    def prot(self) -> int:
        """PROT_* of its pages."""
        flags = self.flags
        return (flags & PF_R) >> 2 | flags & PF_W | (flags & PF_X) << 2


class ElfFile:
    """An open ELF program whose headers have been read; `close` it."""

    def __init__(self, path: bytes, fd: int, size: int) -> None:
        """Read the headers; raises BadImage."""
        self.path = path
        self.fd = fd
        self.size = size
        ident = self.read(0, 16)
        if ident[:4] != MAGIC:
            raise self.bad(f"is not an ELF program ({_beginning(ident)})")
        if len(ident) < 16:
            raise self.bad(f"is cut short: {size} bytes are not an ELF header")
        if ident[4] not in _BITS or ident[5] not in _ORDERS:
            raise self.bad(f"has an ELF header with class {ident[4]}, data {ident[5]}")
        bits, order = _BITS[ident[4]], _ORDERS[ident[5]]
        self._mark = ">" if order == "big" else "<"
        (
            self.type, number, _, self.entry, self.headers_at, _, _, _,
            self.header_size, self.header_count, _, _, _,
        ) = self._unpack(_HEADER[bits], 16, "the ELF header")  # fmt: skip
        self.machine = Machine(number, bits, order)
        self._segments: list[Segment] | None = None

    @classmethod
    def open(cls, path: bytes, host_path: bytes | None = None) -> ElfFile:
        """Open a program; `path` is what messages call it; raises BadImage."""
        fd, size = open_program(path, host_path or path)
        try:
            return cls(path, fd, size)
        except BaseException:
            os.close(fd)
            raise

    def close(self) -> None:
        """Close the file; what is mapped of it stays."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    @property
    def name(self) -> str:
        """The path, for messages."""
        return shown(self.path)

    def bad(self, fact: str, code: int = errno.ENOEXEC) -> BadImage:
        """The error that says something of this file."""
        return BadImage(f"{self.name} {fact}", code)

    def read(self, offset: int, size: int) -> bytes:
        """Bytes of the file; fewer at its end."""
        try:
            return os.pread(self.fd, size, offset)
        except (OSError, OverflowError):
            return b""

    def _unpack(self, letters: str, offset: int, what: str) -> tuple[int, ...]:
        layout = struct.Struct(self._mark + letters)
        data = self.read(offset, layout.size)
        if len(data) < layout.size:
            raise self.bad(f"is cut short: {what} ends after byte {self.size}")
        return layout.unpack(data)

    def check_for(self, wanted: Machine) -> None:
        """Raise BadImage unless this is a program for a machine."""
        if self.machine != wanted:
            raise OtherMachine(f"{self.name} {describe(self.machine)}", self.machine)
        if self.type not in (ET_EXEC, ET_DYN):
            kind = _KINDS.get(self.type, f"an ELF file of type {self.type}, not a program")
            raise self.bad(f"is {kind}")

    def segments(self) -> list[Segment]:
        """The program headers; raises BadImage."""
        if self._segments is None:
            self._segments = self._read_segments()
        return self._segments

    def _read_segments(self) -> list[Segment]:
        letters = _SEGMENT[self.machine.bits]
        layout = struct.Struct(self._mark + letters)
        length = layout.size * self.header_count
        if self.header_size != layout.size:
            raise self.bad(f"has program headers of {self.header_size} bytes, not {layout.size}")
        if not 0 < length <= _HEADERS_LIMIT:
            raise self.bad(f"has {self.header_count} program headers")
        data = self.read(self.headers_at, length)
        if len(data) < length:
            raise self.bad(
                f"is cut short: its program headers end at byte {self.headers_at + length}"
                f" of {self.size}"
            )
        return [_segment(self.machine.bits, values) for values in layout.iter_unpack(data)]

    def loadable(self, limit: int) -> list[Segment]:
        """The segments to map, checked to lie in the file and below `limit` in memory."""
        found = [segment for segment in self.segments() if segment.type == PT_LOAD]
        if not found:
            raise self.bad("has no segment to load")
        for i, segment in enumerate(found):
            if fault := self._fault_of(segment, limit):
                raise self.bad(f"has a bad segment {i}: {fault}")
            if segment.offset + segment.file_size > self.size:
                end = segment.offset + segment.file_size
                raise self.bad(f"is cut short: segment {i} ends at byte {end} of {self.size}")
        return found

    @staticmethod
    def _fault_of(segment: Segment, limit: int) -> str | None:
        if segment.file_size > segment.memory_size:
            return f"{segment.file_size} bytes in the file, {segment.memory_size} in memory"
        if segment.address + segment.memory_size > limit:
            return f"{segment.memory_size} bytes at {segment.address:#x} are beyond {limit:#x}"
        if segment.file_size and (segment.offset - segment.address) % 4096:
            return f"offset {segment.offset:#x} does not fit address {segment.address:#x}"
        return None

    def interpreter(self) -> bytes | None:
        """The path of the dynamic linker that the program names; raises BadImage."""
        for segment in self.segments():
            if segment.type != PT_INTERP:
                continue
            path = self.read(segment.offset, min(segment.file_size, _PATH_MAX))
            if not 2 <= len(path) == segment.file_size or path[-1]:
                raise self.bad("names no sensible program interpreter")
            return path[:-1].partition(b"\0")[0]
        return None

    def stack_flags(self) -> int | None:
        """The PF_* that PT_GNU_STACK wants for the stack; None if the program does not say."""
        for segment in self.segments():
            if segment.type == PT_GNU_STACK:
                return segment.flags
        return None


def machine_of(head: bytes) -> Machine | None:
    """The machine of a program whose first bytes these are; None if it is not ELF."""
    if len(head) < 20 or head[:4] != MAGIC or head[4] not in _BITS or head[5] not in _ORDERS:
        return None
    order = _ORDERS[head[5]]
    return Machine(int.from_bytes(head[18:20], order), _BITS[head[4]], order)


def _segment(bits: int, values: tuple[int, ...]) -> Segment:
    if bits == 32:
        type_, offset, address, _, file_size, memory_size, flags, align = values
    else:
        type_, flags, offset, address, _, file_size, memory_size, align = values
    return Segment(type_, flags, offset, address, file_size, memory_size, align)


def open_program(path: bytes, host_path: bytes) -> tuple[int, int]:
    """Open what is to be executed, as execve(2) checks it: descriptor and size; raises BadImage."""
    name = shown(path)
    try:
        fd = os.open(host_path, os.O_RDONLY | os.O_NONBLOCK)
    except ValueError:
        raise BadImage(f"{name} is no path", errno.ENOENT) from None
    except OSError as error:
        raise BadImage(_why_not_opened(name, error), error.errno or errno.EIO) from None
    status = os.fstat(fd)
    fault = _why_not_executable(name, status.st_mode)
    if fault:
        os.close(fd)
        raise BadImage(fault, errno.EACCES)
    return fd, status.st_size


def _why_not_opened(name: str, error: OSError) -> str:
    if error.errno == errno.ENOENT:
        return f"{name}: no such file"
    if error.errno == errno.EACCES:
        return f"{name} cannot be read: permission denied"
    return f"{name} cannot be opened: {error.strerror}"


def _why_not_executable(name: str, mode: int) -> str | None:
    if S_ISDIR(mode):
        return f"{name} is a directory"
    if not S_ISREG(mode):
        return f"{name} is not a regular file"
    if not mode & 0o111:
        return f"{name} is not executable; chmod +x {name} makes it so"
    return None


def _beginning(data: bytes) -> str:
    if not data:
        return "it is empty"
    return f"it begins with {data[:4]!r}".replace("b'", "'").replace('b"', '"')


def describe(machine: Machine) -> str:
    """What to say of a program for another machine: what it is, and what runs it.

    >>> describe(Machine(40, 32, "little"))
    'is an ARM program (ELF32 little-endian, EM_ARM); run it with qemupy-arm'
    """
    shape = f"ELF{machine.bits} {machine.order}-endian"
    if machine.number not in _FAMILIES:
        return f"is a program for an unknown machine ({shape}, e_machine {machine.number})"
    constant, name, commands = _FAMILIES[machine.number]
    text = f"is {name} program ({shape}, {constant})"
    for row in commands.split():
        command, _, made_for = row.partition("=")
        if made_for == f"{machine.bits}-{machine.order}":
            return f"{text}; run it with qemupy-{command}"
    return f"{text}, which qemupy does not run"
