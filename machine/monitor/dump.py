"""Memory as `x` and `xp` show it: numbers, characters or instructions, by a format like `/4xw`."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from machine.monitor.expressions import signed
from machine.monitor.machine import Machine, MonitorError

LETTERS = "xduoci"
SIZES = {"b": 1, "h": 2, "w": 4, "g": 8}
MOST = 1 << 20
"""Bytes that one command shows."""

LONGEST = 15
"""Bytes of an x86 instruction."""

Reader = Callable[[int, int], bytes]


@dataclass(frozen=True, slots=True)
class Format:
    """How many, in which notation, of how many bytes each."""

    count: int = 1
    letter: str = "x"
    size: int = 4


def read_format(text: str, before: Format) -> Format:
    """Read what stands after `/`; what it does not say is as it was `before`.

    >>> read_format("4xb", Format())
    Format(count=4, letter='x', size=1)
    """
    match = re.fullmatch(r"([0-9]*)([a-z]*)", text)
    if match is None:
        raise MonitorError(f"invalid format: /{text}; write a count, one of xduoci, one of bhwg")
    count, letter, size = int(match[1] or 1), before.letter, before.size
    for char in match[2]:
        if char in LETTERS:
            letter = char
        elif char in SIZES:
            size = SIZES[char]
        else:
            raise MonitorError(f"invalid char in format: '{char}'")
    return Format(count, letter, size)


def show_number(value: int, form: Format, width: int = 0) -> str:
    """One number in a notation, right-aligned to `width`; hexadecimal ones have all digits."""
    bits = 8 * form.size
    match form.letter:
        case "x":
            return f"0x{value:0{2 * form.size}x}"
        case "o":
            return f"{f'0{value:o}' if value else '0':>{width}}"
        case "u":
            return f"{value:>{width}}"
        case "d":
            return f"{value - (1 << bits) if value >> bits - 1 else value:>{width}}"
        case _:
            return show_character(value & 0xFF)


def show_character(value: int) -> str:
    """A byte as C writes it."""
    named = {10: "\\n", 13: "\\r", 9: "\\t", 39: "\\'", 92: "\\\\"}
    if value in named:
        return f"'{named[value]}'"
    return f"'{chr(value)}'" if 32 <= value < 127 else f"'\\x{value:02x}'"


def show_value(value: int, letter: str) -> str:
    """The value of an expression, as `print` shows it."""
    match letter:
        case "x":
            return f"{value:#x}"
        case "o":
            return f"0{value:o}" if value else "0"
        case "u":
            return str(value)
        case "c":
            return show_character(value & 0xFF)
        case _:
            return str(signed(value))


def dump(read: Reader, address: int, form: Format, digits: int) -> str:
    """Rows of numbers, sixteen bytes each (single bytes: eight), behind their addresses."""
    if form.letter == "c":
        form = Format(form.count, "c", 1)
    length = form.count * form.size
    if length > MOST:
        raise MonitorError(f"that is {length} bytes; at most {MOST} are shown")
    bits = 8 * form.size
    width = {"o": -(-bits // 3), "u": -(-bits * 10 // 33), "d": -(-bits * 10 // 33)}
    per_row = 8 if form.size == 1 else 16
    rows = []
    mask = (1 << 4 * digits) - 1
    for start in range(0, length, per_row):
        here = min(per_row, length - start)
        shown = f"{address + start & mask:0{digits}x}:"
        try:
            data = read(address + start & mask, here)
        except MonitorError as error:
            rows.append(f"{shown} {error}")
            break
        cells = (
            int.from_bytes(data[at : at + form.size], "little") for at in range(0, here, form.size)
        )
        one = width.get(form.letter, 0)
        rows.append(" ".join([shown, *(show_number(cell, form, one) for cell in cells)]))
    return "\n".join(rows) + "\n" if rows else ""


def disassemble(machine: Machine, read: Reader, address: int, count: int) -> str:
    """Instructions as AT&T write them, in the mode that the processor is in."""
    import capstone

    decoder = capstone.Cs(capstone.CS_ARCH_X86, _mode(machine))
    decoder.syntax = capstone.CS_OPT_SYNTAX_ATT
    rows = []
    for _ in range(min(count, 10_000)):
        data = _readable(read, address, LONGEST)
        if not data:
            rows.append(f"0x{address:08x}:  Cannot access memory")
            break
        found = next(decoder.disasm(data, address, 1), None)
        size = found.size if found else 1
        text = f"{found.mnemonic:<8} {found.op_str}".rstrip() if found else f".byte 0x{data[0]:02x}"
        rows.append(f"0x{address:08x}:  {data[:size].hex(' '):<23}  {text}")
        address += size
    return "\n".join(rows) + "\n" if rows else ""


def _readable(read: Reader, address: int, length: int) -> bytes:
    """As many bytes as can be read from there on."""
    try:
        return read(address, length)
    except MonitorError:
        to_page = -address % 4096
        if not 0 < to_page < length:
            return b""
    try:
        return read(address, to_page)
    except MonitorError:
        return b""


def _mode(machine: Machine) -> int:
    """16, 32 or 64 bits, by CS and EFER (SDM vol. 3, 3.4.5 and 5.2.1)."""
    import capstone

    rights = machine.registers["cs_rights"]
    if machine.registers["efer"] >> 10 & 1 and rights >> 21 & 1:
        return int(capstone.CS_MODE_64)
    return int(capstone.CS_MODE_32 if rights >> 22 & 1 else capstone.CS_MODE_16)
