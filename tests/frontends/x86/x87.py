"""x87 and MMX instructions on the host's own processor and on ours, from the same FXSAVE image.

The native witness is a page of code: FXRSTOR, the instruction, FXSAVE.  A memory operand is at
[rdx], and whatever the instruction does to RAX and the flags is kept too.
"""

from __future__ import annotations

import ctypes
import mmap
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any

from frontends.x86.fpu_image import fxrstor_image, fxsave_image
from frontends.x86.registers import read_eflags, write_eflags
from frontends.x86.state import AX, DX
from frontends.x86.table import x86_table
from tcg.engine import Exit
from tests.frontends.x86.engines import ENGINES
from tests.frontends.x86.host import PLACES

IMAGE_BYTES = 512
WINDOW = 128
"""Bytes of memory that an instruction may touch."""

_BEFORE = bytes.fromhex("0fae0f 4989c8 b878563412 6802020000 9d")
# fxrstor [rdi]; mov r8, rcx; mov eax, 0x12345678; push 0x202; popf
_AFTER = bytes.fromhex("9c 415a 498900 4d895008 0fae06 dbe3 c3")
# pushf; pop r10; mov [r8], rax; mov [r8+8], r10; fxsave [rsi]; fninit; ret
RAX = 0x12345678

_HEAD = struct.Struct("<HHB")


@dataclass(slots=True)
class Fpu:
    """What an image says: control, status, a bit a full register, ST(0) to ST(7)."""

    control: int = 0x37F
    status: int = 0
    full: int = 0
    stack: Sequence[int] = (0,) * 8

    def image(self) -> bytes:
        """The FXSAVE image."""
        head = _HEAD.pack(self.control, self.status, self.full).ljust(24, b"\0")
        head += struct.pack("<II", 0x1F80, 0xFFFF)
        stack = b"".join(value.to_bytes(16, "little") for value in self.stack)
        return (head + stack).ljust(IMAGE_BYTES, b"\0")

    @classmethod
    def of(cls, image: bytes) -> Fpu:
        """What an image says."""
        stack = [int.from_bytes(image[32 + 16 * i : 42 + 16 * i], "little") for i in range(8)]
        control, status, full = _HEAD.unpack_from(image)
        return cls(control, status, full, stack)

    @property
    def top(self) -> int:
        """TOP"""
        return self.status >> 11 & 7

    def is_full(self, i: int) -> bool:
        """ST(i) is not empty."""
        return bool(self.full >> (self.top + i & 7) & 1)


@dataclass(slots=True)
class Outcome:
    """What an instruction left."""

    fpu: Fpu
    memory: bytes
    rax: int
    flags: int


@cache
def _function(code: bytes) -> Any:
    page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(_BEFORE + code + _AFTER)
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    function = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 4)(address)
    return page, function


_buffer = ctypes.create_string_buffer(4096)
_base = -(-ctypes.addressof(_buffer) // 64) * 64


def on_host(code: bytes, fpu: Fpu, memory: bytes) -> Outcome:
    """Run the instruction on this processor."""
    before, after, window, results = _base, _base + 512, _base + 1024, _base + 1536
    ctypes.memmove(before, fpu.image(), IMAGE_BYTES)
    ctypes.memmove(window, memory, WINDOW)
    _function(code)[1](before, after, window, results)
    rax, flags = struct.unpack("<QQ", ctypes.string_at(results, 16))
    return Outcome(
        Fpu.of(ctypes.string_at(after, IMAGE_BYTES)), ctypes.string_at(window, WINDOW), rax, flags
    )


# -- ours ------------------------------------------------------------------------------------------


class Machine:
    """One of our engines, in 32-bit or 64-bit mode."""

    def __init__(self, engine: str, mode: int) -> None:
        self._ours = ENGINES[engine](mode)
        self._place = PLACES[mode]
        self._stop = b"\x0f\x05" if mode == 64 else b"\xcd\x80"
        self._known: dict[bytes, int] = {}

    def prepare(self, codes: Sequence[bytes]) -> None:
        """Have the handlers of many instructions made at once."""
        if not self._ours.is_native:
            return
        translator, missing = self._ours.engine.code.translator, {}
        for code in codes:
            decoded = self._ours.frontend.decode(code + self._stop + bytes(13), 0, 0x1000)
            assert decoded is not None
            form = translator.forms.find(decoded, 0x1000)
            missing[form.symbol] = form
        translator.maker.make_handlers([form for form in missing.values() if not form.address])

    def _address(self, code: bytes) -> int:
        """Where the instruction is, followed by a system call."""
        pc = self._known.get(code)
        if pc is None:
            pc = self._known[code] = self._place.code + 0x1000 + 64 * len(self._known)
            self._ours.memory.write(pc, code + self._stop)
            self._ours.engine.invalidate(pc, pc + 64)
        return pc

    def run(self, code: bytes, fpu: Fpu, memory: bytes) -> tuple[Outcome, Exit]:
        """Run the instruction; how it ended is a system call unless it raised something."""
        cpu, state = self._ours.cpu, self._ours.frontend.state
        data = self._place.data + 0x800
        pc = self._address(code)
        self._ours.memory.write(data, memory)
        fxrstor_image(state, cpu, fpu.image())
        cpu.set(state.gpr.slots[AX], RAX)
        cpu.set(state.gpr.slots[DX], data)
        write_eflags(state, cpu, 0x202)
        cpu.pc = pc
        left = self._ours.engine.run(cpu)
        window = ctypes.string_at(self._ours.memory.at(data), WINDOW)
        outcome = Outcome(
            Fpu.of(fxsave_image(state, cpu)), window, cpu.get(state.gpr.slots[AX]),
            read_eflags(state, cpu),
        )  # fmt: skip
        return outcome, left


# -- what to try -----------------------------------------------------------------------------------

MEMORY_FORM, REGISTER_FORM = 0x02, 0xC0
"""ModRM bytes: [rdx], and registers from here on."""


def encodings() -> list[bytes]:
    """Every x87 instruction of one operand size; ST(i) with i = 0, 1, 2 and 7."""
    decode = x86_table().decoder(64)
    found = [b"\x9b"]
    for first in range(0xD8, 0xE0):
        seconds = [MEMORY_FORM | n << 3 for n in range(8)]
        seconds += [
            n for n in range(REGISTER_FORM, 0x100) if n & 7 in (0, 1, 2, 7) or first == 0xD9
        ]
        for second in seconds:
            code = bytes((first, second))
            if decode(code + bytes(13), 0, 0) is not None:
                found.append(code)
    return found


def random_float(random: Random) -> int:
    """An extended float, likely a special one, or one near 1."""
    exponent = random.choice((
        0, 1, 2, 0x3FFE, 0x3FFF, 0x4000, 0x7FFE, 0x7FFF,
        *(random.randrange(0x3FFF - 70, 0x3FFF + 70) for _ in range(12)), random.randrange(0x8000),
    ))  # fmt: skip
    significand = random.getrandbits(64)
    if random.random() < 0.3:
        significand = random.choice((0, 1, 1 << 62, 1 << 63, 3 << 62, (1 << 63) + 1, (1 << 64) - 1))
    if random.random() < 0.4:
        significand &= -1 << random.randrange(64) & (1 << 64) - 1
    if exponent and random.random() < 0.95:
        significand |= 1 << 63
    return random.getrandbits(1) << 79 | exponent << 64 | significand


def random_fpu(random: Random, masked: bool) -> Fpu:
    """A state in which most registers are full, and some exceptions perhaps not masked."""
    control = random.getrandbits(2) << 10 | random.choice((0, 2, 3)) << 8 | 0x7F
    if not masked:
        control &= ~random.getrandbits(6)
    full = random.choice((0xFF, 0x7F, 0, random.getrandbits(8), random.getrandbits(8)))
    status = random.getrandbits(3) << 11 | random.choice((0, 0x4700)) & random.getrandbits(16)
    return Fpu(control, status, full, [random_float(random) for _ in range(8)])


def random_memory(random: Random) -> bytes:
    """Bytes that are likely to be a float of some size or a decimal number."""
    start = random.choice((
        random.randbytes(16), random_float(random).to_bytes(16, "little"),
        struct.pack("<d", random.uniform(-1e6, 1e6)), struct.pack("<f", random.uniform(-9, 9)),
        bytes(random.randrange(10) | random.randrange(10) << 4 for _ in range(9)) + b"\x80",
        struct.pack("<q", random.randrange(-1000, 1000)),
    ))  # fmt: skip
    return start.ljust(16, b"\0") + random.randbytes(WINDOW - 16)


# -- sequences -------------------------------------------------------------------------------------

# fmt: off
ON_MEMORY = (
    ("d9", 0, 1), ("dd", 0, 1), ("db", 0, 1), ("df", 5, 1), ("db", 5, 1),       # fld fild
    ("d9", 3, -1), ("dd", 3, -1), ("db", 3, -1), ("df", 7, -1), ("db", 7, -1),  # fstp fistp
    ("d9", 2, 0), ("dd", 2, 0), ("db", 2, 0),                                   # fst fist
    *(("d8", n, -(n == 3)) for n in range(8)), *(("dc", n, -(n == 3)) for n in range(8)),
    *(("da", n, -(n == 3)) for n in range(8)),
)
"""Opcode, ModRM.reg, how the depth changes."""
ALONE = (
    ("d9e8", 0, 1), ("d9ee", 0, 1), ("d9eb", 0, 1),                             # fld1 fldz fldpi
    ("d9e0", 1, 0), ("d9e1", 1, 0), ("d9fa", 1, 0), ("d9fc", 1, 0), ("d9e5", 0, 0), ("d9e4", 1, 0),
    ("d9fd", 2, 0), ("d9f8", 2, 0), ("d9f1", 2, -1), ("dae9", 2, -2), ("ded9", 2, -2),
    ("d9f7", 8, 0), ("d9f6", 8, 0), ("dfe0", 0, 0), ("9b", 0, 0), ("d9d0", 0, 0), ("dbe2", 0, 0),
)
"""Code, the depth that is needed, how it changes."""
WITH_REGISTER = (
    ("d8", 0xC0, 0), ("d8", 0xC8, 0), ("d8", 0xE0, 0), ("d8", 0xF8, 0), ("dc", 0xC0, 0),
    ("dc", 0xE8, 0), ("dc", 0xF0, 0), ("de", 0xC0, -1), ("de", 0xC8, -1), ("de", 0xE8, -1),
    ("de", 0xE0, -1), ("de", 0xF8, -1), ("d9", 0xC0, 1), ("d9", 0xC8, 0), ("d9", 0xC8, 0),
    ("d8", 0xD0, 0), ("d8", 0xD8, -1), ("dd", 0xD0, 0), ("dd", 0xD8, -1), ("dd", 0xE0, 0),
    ("db", 0xE8, 0), ("df", 0xE8, -1), ("da", 0xC0, 0), ("db", 0xC8, 0),
)
"""Opcode, second byte for ST(0), how the depth changes."""
# fmt: on


def random_sequence(random: Random, depth: int, length: int) -> bytes:
    """Instructions that keep between an empty and a full stack, with an exception now and then."""
    code = b""
    while length:
        careless = random.random() < 0.01
        match random.randrange(3):
            case 0:
                opcode, reg, change = random.choice(ON_MEMORY)
                needs = 0 if change == 1 else 1
                made = bytes.fromhex(opcode) + bytes((0x42 | reg << 3, random.randrange(8) * 16))
            case 1:
                opcode, needs, change = random.choice(ALONE)
                made = bytes.fromhex(opcode)
            case _:
                opcode, second, change = random.choice(WITH_REGISTER)
                i = random.randrange(max(depth, 1))
                needs = i + 1
                made = bytes.fromhex(opcode) + bytes((second + i,))
        if not careless and (depth < needs or depth + change > 8):
            continue
        depth = max(0, min(8, depth + change))
        code += made
        length -= 1
    return code


# -- MMX -------------------------------------------------------------------------------------------

MMX_FORMS = (0x02, 0xC2)
"""mm0 (or eax) with memory and with mm2."""


def mmx_encodings() -> list[bytes]:
    """Every MMX instruction but those that also have to do with SSE registers."""
    table = x86_table()
    decode = table.decoder(64)
    opcodes = [bytes((0x0F, n)) for n in (*range(0x60, 0x80), 0xC4, 0xC5, *range(0xD0, 0xFF))]
    opcodes += [bytes((0x0F, 0x38, n)) for n in (*range(0x0C), 0x1C, 0x1D, 0x1E)]
    opcodes += [bytes((0x0F, 0x3A, 0x0F)), bytes((0x0F, 0x2C)), bytes((0x0F, 0x2D))]
    found = []
    for opcode in opcodes:
        seconds = (
            [0xC0 | n << 3 for n in range(8)] if opcode[-1] in (0x71, 0x72, 0x73) else MMX_FORMS
        )
        for second in seconds:
            if opcode[1] in (0x6E, 0x7E, 0xC4) and second == 0xC2:
                second = 0xC0
            code = opcode + bytes((second, 11))
            decoded = decode(code + bytes(11), 0, 0)
            if decoded is None or opcode[1:] == b"\xf7":
                continue
            if any(o.letter in "PQN" for o in table.rows[decoded.row].operands if o.letter):
                found.append(code[: decoded.size])
    return [*found, b"\x0f\x77"]
