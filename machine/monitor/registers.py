"""Registers by the names that expressions have for them, and as `info registers` shows them."""

from __future__ import annotations

from machine.monitor.machine import Machine, MonitorError

GENERAL = ("ax", "bx", "cx", "dx", "si", "di", "bp", "sp")
SEGMENTS = ("es", "cs", "ss", "ds", "fs", "gs")
LIMIT_IN_RIGHTS = 0x000F_0000
FLAG_LETTERS = ((10, "D"), (11, "O"), (7, "S"), (6, "Z"), (4, "A"), (2, "P"), (0, "C"))
EFER_LMA, LONG_CODE = 1 << 10, 1 << 21


def _table() -> dict[str, tuple[str, int]]:
    """Name in an expression: name of the register, how many bits of it."""
    table: dict[str, tuple[str, int]] = {}
    for name in GENERAL:
        table |= {name: (name, 16), f"e{name}": (name, 32), f"r{name}": (name, 64)}
    for name in GENERAL[:4]:
        table[f"{name[0]}l"] = (name, 8)
    table |= {f"r{n}": (f"r{n}", 64) for n in range(8, 16)}
    table |= {"ip": ("ip", 16), "eip": ("ip", 32), "rip": ("ip", 64), "pc": ("ip", 64)}
    table |= {"eflags": ("eflags", 32), "rflags": ("eflags", 64), "cpl": ("cpl", 8)}
    for name in SEGMENTS:
        table |= {name: (name, 16), f"{name}.base": (f"{name}_base", 64)}
        table[f"{name}.limit"] = (f"{name}_limit", 32)
    table |= {f"cr{n}": (f"cr{n}", 64) for n in (0, 2, 3, 4, 8)}
    table |= {f"dr{n}": (f"dr{n}", 64) for n in range(8)}
    table |= {"efer": ("efer", 64), "gdt.base": ("gdt_base", 64), "idt.base": ("idt_base", 64)}
    return table


NAMES = _table()


def value_of(machine: Machine, name: str) -> int:
    """What `$name` is worth."""
    if name not in NAMES:
        raise MonitorError(f"unknown register ${name}")
    register, bits = NAMES[name]
    try:
        return machine.registers[register] & (1 << bits) - 1
    except KeyError:
        raise MonitorError(f"this processor has no register ${name}") from None


def show_registers(machine: Machine) -> str:
    """`info registers`: the processor's state, laid out as QEMU's users know it."""
    get = machine.registers.__getitem__
    is_long = machine.width == 64
    lines = ["", "CPU#0", *(_general_64(machine) if is_long else _general_32(machine))]
    digits = 16 if is_long else 8
    lines += [_segment(machine, name, digits) for name in SEGMENTS]
    lines += [_segment(machine, "ldtr", digits), _segment(machine, "tr", digits)]
    for name in ("gdt", "idt"):
        base, limit = get(f"{name}_base"), get(f"{name}_limit")
        lines.append(f"{name.upper()}=     {base:0{digits}x} {limit:08x}")
    lines.append(
        f"CR0={get('cr0'):08x} CR2={get('cr2'):0{digits}x} "
        f"CR3={get('cr3'):0{digits}x} CR4={get('cr4'):08x}"
    )
    lines.append("".join(f"DR{n}={get(f'dr{n}'):0{digits}x} " for n in range(4)))
    lines.append(f"DR6={get('dr6'):0{digits}x} DR7={get('dr7'):0{digits}x}")
    lines.append(f"EFER={get('efer'):016x}")
    return "\n".join([*lines, *_vectors(machine)]) + "\n"


def _state_line(machine: Machine, pointer: str) -> str:
    flags = machine.registers["eflags"]
    letters = "".join(letter if flags >> bit & 1 else "-" for bit, letter in FLAG_LETTERS)
    name = "RFL" if pointer == "RIP" else "EFL"
    ip = machine.registers["ip"]
    return (
        f"{pointer}={ip:0{16 if pointer == 'RIP' else 8}x} {name}={flags:08x} [{letters}] "
        f"CPL={machine.registers['cpl']} II=0 A20={int(machine.board.a20.level)} SMM=0 "
        f"HLT={int(machine.is_halted)}"
    )


def _row(machine: Machine, names: tuple[tuple[str, str], ...], digits: int) -> str:
    return " ".join(f"{shown}={machine.registers[name]:0{digits}x}" for shown, name in names)


def _general_32(machine: Machine) -> list[str]:
    rows = (GENERAL[:4], GENERAL[4:])
    lines = [_row(machine, tuple((f"E{n.upper()}", n) for n in row), 8) for row in rows]
    return [*lines, _state_line(machine, "EIP")]


def _general_64(machine: Machine) -> list[str]:
    rows = [tuple((f"R{n.upper()}", n) for n in row) for row in (GENERAL[:4], GENERAL[4:])]
    rows += [
        tuple((f"R{n}".ljust(3), f"r{n}") for n in range(start, start + 4)) for start in (8, 12)
    ]
    return [*(_row(machine, row, 16) for row in rows), _state_line(machine, "RIP")]


def _segment(machine: Machine, name: str, digits: int) -> str:
    """Selector, base, limit, and the descriptor's second doubleword with the limit put back."""
    get = machine.registers.__getitem__
    limit, rights = get(f"{name}_limit"), get(f"{name}_rights")
    shown = "LDT" if name == "ldtr" else name.upper().ljust(3)
    flags = rights & ~LIMIT_IN_RIGHTS & ~1 | (limit >> (12 if rights >> 23 & 1 else 0)) & 0xF0000
    selector, base = get(name), get(f"{name}_base")
    return f"{shown}={selector:04x} {base:0{digits}x} {limit:08x} {flags:08x}"


def _vectors(machine: Machine) -> list[str]:
    """The SSE registers, two to a line."""
    cells = []
    for number in range(16 if machine.width == 64 else 8):
        try:
            value = machine.registers[f"xmm{number}"]
        except KeyError:
            return []
        cells.append(f"XMM{number:02d}={value >> 64:016x} {value & (1 << 64) - 1:016x}")
    return [" ".join(cells[n : n + 2]) for n in range(0, len(cells), 2)]
