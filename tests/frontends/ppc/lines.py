"""Tests of instructions as lines of text.

    7c 63 20 51   subf. r3, r3, r4   r3=1 r4=1   => r3=0 cr0=EQ

The bytes, what they say, registers before, what has changed after.  What is not mentioned before is
zero; what is not mentioned after is unchanged.  `make bless` rewrites all but bytes and before.

    r3=0x10     numbers as Python has them       f1=1.5 f2=-inf f3=0x7ff8000000000000   doubles
    cr0=LT,SO   a field of CR                    so=1 ov=1 ca=1 count=4           XER
    lr= ctr=                                     fpscr=FX,XX fprf=0x04 rn=2       FPSCR
    [100040]=0a0b   memory                       pc=0x10100   where it went, if not on
    trap  fault  illegal ...                     how it ended, if not well
    any=r3      (before) what r3 will be cannot be known
    # reason    unicorn does something else, and why it is not right or cannot be asked
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field
from math import isnan

from frontends.ppc import fpscr_bits as bits
from frontends.ppc.frontend import PpcFrontend
from tests.frontends.ppc.machines import CODE, DATA, DATA_SIZE, SC, Machine, State

COLUMNS = re.compile(r"\s{2,}")
CR_FLAGS = ("LT", "GT", "EQ", "SO")
XER_PARTS = {"so": (31, 1), "ov": (30, 1), "ca": (29, 1), "count": (0, 0x7F)}
FPSCR_FLAGS = {
    name: getattr(bits, name)
    for name in (
        "FX", "FEX", "VX", "OX", "UX", "ZX", "XX", "VXSNAN", "VXISI", "VXIDI", "VXZDZ", "VXIMZ",
        "VXVC", "FR", "FI", "VXSOFT", "VXSQRT", "VXCVI", "VE", "OE", "UE", "ZE", "XE", "NI",
    )
}  # fmt: skip
FPSCR_PARTS = {"fprf": (12, 31), "rn": (0, 3)}
STOPS = SC.to_bytes(4, "big") * 1024


@dataclass
class Line:
    """One line, taken apart."""

    code: bytes
    text: str
    before_text: str
    after_text: str
    reason: str
    before: State = field(default_factory=dict)
    memory: dict[int, bytes] = field(default_factory=dict)
    unknown: frozenset[str] = frozenset()

    def __str__(self) -> str:
        reason = f"   # {self.reason}" if self.reason else ""
        columns = (f"{self.code.hex(' '):<11}", f"{self.text:<28}", f"{self.before_text:<26}")
        shown = "   ".join(columns)
        return f"{shown}  => {self.after_text}".rstrip() + reason


def parse(text: str) -> Line:
    """A line of a file of tests."""
    text, _, reason = text.partition(" # ")
    left, _, after = text.partition("=>")
    code, *columns = COLUMNS.split(left.strip())
    before = columns[-1] if columns else "-"
    shown = columns[0] if len(columns) > 1 else ""
    line = Line(bytes.fromhex(code), shown, before, after.strip(), reason.strip())
    for item in before.split() if before != "-" else ():
        name, _, value = item.partition("=")
        _set(line, name, value)
    return line


def _set(line: Line, name: str, value: str) -> None:
    state = line.before
    if name == "any":
        line.unknown = frozenset(value.split(","))
    elif name.startswith("["):
        line.memory[int(name[1:-1], 16)] = bytes.fromhex(value)
    elif name.startswith("cr") and name != "cr":
        flags = sum(8 >> CR_FLAGS.index(flag) for flag in value.split(",") if flag)
        state["cr"] = state.get("cr", 0) | flags << 28 - 4 * int(name[2:])
    elif name in XER_PARTS:
        state["xer"] = state.get("xer", 0) | int(value, 0) << XER_PARTS[name][0]
    elif name == "fpscr":
        bits_set = sum(FPSCR_FLAGS[flag] for flag in value.split(",") if flag)
        state["fpscr"] = state.get("fpscr", 0) | bits_set
    elif name in FPSCR_PARTS:
        state["fpscr"] = state.get("fpscr", 0) | int(value, 0) << FPSCR_PARTS[name][0]
    elif name[0] == "f" and not value.startswith("0x"):
        state[name] = int.from_bytes(struct.pack(">d", float(value)), "big")
    else:
        state[name] = int(value, 0) & (0xFFFF_FFFF_FFFF_FFFF if name[0] == "f" else 0xFFFF_FFFF)


def disassemble(frontend: PpcFrontend, code: bytes) -> str:
    """The instructions, each with single spaces."""
    shown = []
    for at in range(0, len(code), 4):
        decoded = frontend.decode(code, at, CODE + at)
        text = frontend.disassemble(decoded, CODE + at) if decoded else "?"
        shown.append(" ".join(text.split()))
    return "; ".join(shown)


def run(machine: Machine, line: Line) -> str:
    """What the line's code changes, as text."""
    memory = bytearray(DATA_SIZE)
    for address, content in line.memory.items():
        memory[address - DATA : address - DATA + len(content)] = content
    machine.write(CODE, line.code + STOPS)
    machine.write(DATA, bytes(memory))
    after, ended = machine.run(line.before, len(line.code))
    items = _changes(line, after, ended)
    items += _memory_changes(bytes(memory), machine.read(DATA, DATA_SIZE))
    return " ".join([*items, ended] if ended else items)


def _changes(line: Line, after: State, ended: str) -> list[str]:
    items: list[str] = []
    for name, value in after.items():
        before = line.before.get(name, 0)
        if name in line.unknown:
            continue
        if name == "pc":
            if not ended and value != CODE + len(line.code):
                items.append(f"pc={value:#x}")
        elif value != before:
            items += _show(name, before, value)
    return items


def _show(name: str, before: int, after: int) -> list[str]:
    """A register as it is written in a line; of CR, XER and FPSCR what has changed."""
    if name == "cr":
        fields = [(i, before >> 28 - 4 * i & 15, after >> 28 - 4 * i & 15) for i in range(8)]
        return [f"cr{i}={_cr_flags(new)}" for i, old, new in fields if new != old]
    if name == "xer":
        return _parts(XER_PARTS, before, after)
    if name == "fpscr":
        flags = _fpscr_flags(after)
        shown = [f"fpscr={','.join(flags)}"] if flags != _fpscr_flags(before) else []
        return [*shown, *_parts(FPSCR_PARTS, before, after)]
    if name[0] == "f":
        return [f"{name}={_double(after)}"]
    return [f"{name}={after:#x}" if after > 9 else f"{name}={after}"]


def _fpscr_flags(value: int) -> list[str]:
    return [flag for flag, bit in FPSCR_FLAGS.items() if value & bit]


def _cr_flags(nibble: int) -> str:
    return ",".join(flag for i, flag in enumerate(CR_FLAGS) if nibble & 8 >> i)


def _parts(parts: dict[str, tuple[int, int]], before: int, after: int) -> list[str]:
    items = []
    for name, (at, mask) in parts.items():
        value = after >> at & mask
        if value != before >> at & mask:
            items.append(f"{name}={value:#x}" if value > 9 else f"{name}={value}")
    return items


def _double(pattern: int) -> str:
    value = struct.unpack(">d", pattern.to_bytes(8, "big"))[0]
    assert isinstance(value, float)
    is_plain = not isnan(value) and (abs(value) > 1e-300 or not value) and len(repr(value)) < 12
    return repr(value) if is_plain else f"{pattern:#018x}"


def _memory_changes(before: bytes, after: bytes) -> list[str]:
    if before == after:
        return []
    places = [i for i in range(DATA_SIZE) if before[i] != after[i]]
    first, last = places[0], places[-1] + 1
    return [f"[{DATA + first:x}]={after[first:last].hex()}"]
