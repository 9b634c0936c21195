"""Instructions as text, in Intel's syntax: `mov eax, dword ptr [rbx + rcx*4 + 0x10]`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tcg.decode.intel.operands import FIXED, MAY_BE_MEMORY, Operand
from tcg.decode.intel.table import Row

# fmt: off
QUADS = "rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15".split()
DOUBLES = "eax ecx edx ebx esp ebp esi edi".split() + [f"r{n}d" for n in range(8, 16)]
WORDS = "ax cx dx bx sp bp si di".split() + [f"r{n}w" for n in range(8, 16)]
BYTES = "al cl dl bl spl bpl sil dil".split() + [f"r{n}b" for n in range(8, 16)]
OLD_BYTES = "al cl dl bl ah ch dh bh".split() + BYTES[8:]
REGISTERS = {2: WORDS, 4: DOUBLES, 8: QUADS}
SEGMENTS = "es cs ss ds fs gs".split()

SIZES = {
    1: "byte", 2: "word", 4: "dword", 6: "fword", 8: "qword", 10: "tbyte",
    16: "xmmword", 32: "ymmword",
}
# fmt: on


@dataclass(slots=True)
class Fields:
    """The decoded fields by name; see FIELDS."""

    length: int
    opsize: int
    addrsize: int
    segment: int
    lock: int
    rep: int
    rex: int
    reg: int
    rm: int
    base: int
    index: int
    scale: int
    disp: int
    imm: int
    imm2: int
    vvvv: int


class _Shown(NamedTuple):
    """An instruction that is being shown."""

    row: Row
    f: Fields
    mode: int


def show(row: Row, fields: Sequence[int], mode: int) -> str:
    """The instruction with these fields."""
    f = Fields(*fields)
    shown = _Shown(row, f, mode)
    size = f.addrsize if "byaddr" in row.properties else f.opsize
    mnemonic = row.mnemonics[size.bit_length() - 2]
    operands = [_operand(operand, shown) for operand in row.operands]
    words = [*_prefixes(shown), mnemonic]
    return " ".join([*words, ", ".join(filter(None, operands))]).rstrip()


def _prefixes(shown: _Shown) -> list[str]:
    f, row = shown.f, shown.row
    words = ["lock"] if f.lock else []
    if f.rep:
        compares = row.function in ("cmps", "scas")
        words.append("repne" if f.rep == 2 else "repe" if compares else "rep")
    return words


def _operand(operand: Operand, shown: _Shown) -> str:
    if not operand.letter:
        return _fixed(operand, shown.f)
    if operand.letter in MAY_BE_MEMORY and (shown.f.rm < 0 or operand.letter not in "EQW"):
        return _memory(operand, shown)
    return LETTERS[operand.letter](operand, shown)


def _fixed(operand: Operand, f: Fields) -> str:
    kind, number, _ = FIXED[operand.text]
    if kind == "gpr":
        return _gpr(number, operand.bytes(f.opsize), rex=operand.text != "AH")
    return operand.text.lower()


def _gpr(number: int, size: int, *, rex: bool) -> str:
    if size == 1:
        return (BYTES if rex else OLD_BYTES)[number]
    return REGISTERS.get(size, QUADS)[number]


def _register(operand: Operand, shown: _Shown, number: int) -> str:
    size = operand.bytes(shown.f.opsize)
    return _gpr(number, size, rex=bool(shown.f.rex or shown.row.vector_length))


def _vector(operand: Operand, shown: _Shown, number: int) -> str:
    size = operand.bytes(shown.f.opsize, shown.row.vector_length)
    return f"{'ymm' if size == 32 else 'xmm'}{number}"


# -- memory ---------------------------------------------------------------------------------------


def _memory(operand: Operand, shown: _Shown) -> str:
    f = shown.f
    size = operand.bytes(f.opsize, shown.row.vector_length, memory=True)
    kind = SIZES.get(size, "")
    return f"{kind + ' ptr ' if kind else ''}{_segment(operand, f)}[{_address(operand, shown)}]"


def _segment(operand: Operand, f: Fields) -> str:
    if operand.letter == "Y":
        return "es:"
    return f"{SEGMENTS[f.segment - 1]}:" if f.segment else ""


def _address(operand: Operand, shown: _Shown) -> str:
    f, mode = shown.f, shown.mode
    names = REGISTERS[f.addrsize]
    if operand.letter in "XY":
        return names[6 if operand.letter == "X" else 7]
    none = 16 if mode == 64 else 8
    parts = [names[f.base]] if f.base != none else []
    if shown.row.properties & {"vsibx", "vsiby"}:
        kind = "ymm" if "vsiby" in shown.row.properties else "xmm"
        number_ = 4 if f.index == none else f.index
        parts.append(f"{kind}{number_}" + (f"*{1 << f.scale}" if f.scale else ""))
    elif f.index != none:
        parts.append(names[f.index] + (f"*{1 << f.scale}" if f.scale or not parts else ""))
    if not parts:
        return number(f.disp & (1 << 8 * f.addrsize) - 1)
    text = " + ".join(parts)
    if f.disp:
        text += f" {'-' if f.disp < 0 else '+'} {number(abs(f.disp))}"
    return text


def number(value: int) -> str:
    """Small numbers in decimal, others in hexadecimal."""
    return str(value) if 0 <= value < 10 else f"{value:#x}"


# -- the others -----------------------------------------------------------------------------------


def _immediate(operand: Operand, shown: _Shown) -> str:
    """A number, signed if the operand widens it."""
    f, row = shown.f, shown.row
    later = [other for other in row.operands if other.letter == "I"]
    value = f.imm2 if len(later) == 2 and operand is row.operands[1] else f.imm
    if operand.letter == "sI" or (operand.size == "z" and f.opsize == 8):
        return number(value) if value >= 0 else f"-{number(-value)}"
    return number(value & (1 << 8 * operand.bytes(f.opsize)) - 1)


def _far(_: Operand, shown: _Shown) -> str:
    return f"{number(shown.f.imm2)}:{number(shown.f.imm)}"


LETTERS: dict[str, Callable[[Operand, _Shown], str]] = {
    "A": _far,
    "B": lambda o, s: _register(o, s, s.f.vvvv),
    "C": lambda o, s: f"cr{s.f.reg}",
    "D": lambda o, s: f"dr{s.f.reg}",
    "E": lambda o, s: _register(o, s, s.f.rm),
    "G": lambda o, s: _register(o, s, s.f.reg),
    "H": lambda o, s: _vector(o, s, s.f.vvvv),
    "I": _immediate,
    "sI": _immediate,
    "J": lambda o, s: number(s.f.imm),
    "L": lambda o, s: _vector(o, s, s.f.imm2),
    "N": lambda o, s: f"mm{s.f.rm}",
    "P": lambda o, s: f"mm{s.f.reg}",
    "Q": lambda o, s: f"mm{s.f.rm}",
    "R": lambda o, s: _register(o, s, s.f.rm),
    "S": lambda o, s: SEGMENTS[s.f.reg],
    "U": lambda o, s: _vector(o, s, s.f.rm),
    "V": lambda o, s: _vector(o, s, s.f.reg),
    "W": lambda o, s: _vector(o, s, s.f.rm),
    "Z": lambda o, s: _register(o, s, s.f.rm),
    "ST": lambda o, s: f"st({s.f.rm})" if o.text == "STi" else "st(0)",
}
"""How an operand that is not memory is shown, by its letter."""
