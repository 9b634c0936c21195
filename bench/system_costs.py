"""What single things cost in a whole machine: ports, devices, TLB misses, faults, interrupts.

    python -m bench.system_costs [qemu] [name ...]

Each program is a floppy's boot sector that does one thing very often and ends the emulator by port
501h.  It runs on the command itself, and with `qemu` on QEMU beside it; the time of the same
program without its loop is taken off.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

START = 0x7C00
SIZE = 1_474_560
RUNS = 3
STOP = "mov dx, 0x501; mov al, 0; out dx, al; 9: hlt; jmp 9b"

PAGED = """
    cli; lgdt [gdtr]; mov eax, cr0; or al, 1; mov cr0, eax; ljmp 8, offset protected
    gdtr: .word 0x17; .long gdt
    .balign 8
    gdt: .quad 0, 0x00cf9a000000ffff, 0x00cf92000000ffff
    .code32
    protected: mov ax, 0x10; mov ds, ax; mov es, ax; mov ss, ax; mov esp, 0x7000
    mov edi, 0x101000; mov eax, 3
    1: stosd; add eax, 0x1000; cmp edi, 0x109000; jb 1b
    mov edi, 0x100000; mov eax, 0x101003
    1: stosd; add eax, 0x1000; cmp edi, 0x100020; jb 1b
    mov eax, 0x100000; mov cr3, eax; mov eax, cr0; or eax, 0x80000000; mov cr0, eax
"""
"""32-bit code with paging: the first 32 MiB as they are, by pages of 4 KiB."""


@dataclass(frozen=True)
class Program:
    """`body` is done `count` times, with ECX counting down; `does`: so many things each time."""

    what: str
    count: int
    setup: str
    body: str
    does: int = 1

    def source(self, count: int) -> str:
        """The boot sector; a count of 0 leaves the loop out."""
        loop = f"mov ecx, {count}; 5: {self.body}; dec ecx; jnz 5b;" if count else ""
        return f"cli; xor ax, ax; mov ds, ax; mov es, ax; {self.setup} {loop} {STOP}"


PAGES = 4096
IDT = """
    mov eax, offset {handler} + 0x80000; mov [0x5000 + 8 * {vector}], eax
    mov dword ptr [0x5004 + 8 * {vector}], 0x8e00
    mov word ptr [0x600], 0x7ff; mov dword ptr [0x602], 0x5000; lidt [0x600]
"""
PROGRAMS = {
    "in": Program("IN from the 8254", 100_000, "", "in al, 0x61"),
    "out": Program("OUT to the 8259", 100_000, "", "mov al, 0xff; out 0x21, al"),
    "ask": Program("OUT to a port that is asked for", 50_000, "", "mov al, 2; out 0x92, al"),
    "device": Program(
        "read of the local APIC", 100_000, PAGED.partition("    mov edi")[0],
        "mov eax, [0xfee00020]",
    ),
    "miss": Program(
        "TLB miss, two levels", 200, PAGED,
        f"mov esi, 0x800000; 6: mov eax, [esi]; add esi, 4096; cmp esi, {0x800000 + PAGES * 4096};"
        "jb 6b", PAGES,
    ),
    "invlpg": Program("INVLPG and the miss after it", 1_000_000, PAGED,
                      "invlpg [0x800000]; mov eax, [0x800000]"),
    "cr3": Program("MOV CR3 and three misses", 500_000, PAGED,
                   "mov eax, cr3; mov cr3, eax; mov eax, [0x800000]; mov eax, [0x801000]"),
    "fault": Program(
        "page fault, handler, IRET", 100_000,
        PAGED + IDT.format(handler="fault", vector=14)
        + "mov dword ptr [0x102000], 0; jmp 7f;"
        + "fault: add esp, 4; add dword ptr [esp], 5; iretd; 7:",
        "mov dword ptr [0x400000], eax; nop",
    ),
    "int": Program(
        "INT n and IRET", 2_000_000, PAGED + IDT.format(handler="call", vector=0x40)
        + "jmp 7f; call: iretd; 7:", "int 0x40",
    ),
    "loop": Program("turn of a loop", 400_000_000, PAGED, "add eax, ecx"),
}  # fmt: skip


def image(text: str, folder: Path) -> Path:
    """A floppy whose boot sector is that program."""
    made, linked = folder / "boot.o", folder / "boot.img"
    source = f".intel_syntax noprefix\n.code16\n.globl _start\n_start:\n{text}\n"
    subprocess.run(["as", "--32", "-o", made, "-"], input=source.encode(), check=True)
    subprocess.run(
        ["ld", "-m", "elf_i386", "--oformat=binary", f"-Ttext={START:#x}", "-o", linked, made],
        check=True,
    )
    code = linked.read_bytes()
    if len(code) > 510:
        raise ValueError(f"{len(code)} bytes do not fit into a boot sector")
    linked.write_bytes((code.ljust(510, b"\0") + b"\x55\xaa").ljust(SIZE, b"\0"))
    return linked


def command(machine: str, floppy: Path) -> list[str]:
    """The emulator on that floppy."""
    drive = ["-drive", f"file={floppy},if=floppy,format=raw", "-boot", "a", "-m", "64"]
    options = ["-display", "none", "-device", "isa-debug-exit,iobase=0x501,iosize=2"]
    if machine == "qemu":
        return ["qemu-system-i386", *drive, *options, "-accel", "tcg"]
    here = Path(sys.executable).with_name("qemupy-system-i386")
    return [str(here), *drive, *options]


def seconds(machine: str, program: Program, count: int) -> float:
    """The processor time of a whole run, which a busy host does not change; the best of some."""
    with tempfile.TemporaryDirectory() as folder:
        line = command(machine, image(program.source(count), Path(folder)))
        return min(_run(line) for _ in range(RUNS))


def _run(line: list[str]) -> float:
    child = subprocess.Popen(line, stdin=subprocess.DEVNULL)
    _, _, used = os.wait4(child.pid, 0)
    return used.ru_utime + used.ru_stime


def main(arguments: list[str]) -> None:
    machines = ["ours", *(["qemu"] if "qemu" in arguments else [])]
    names = [name for name in arguments if name in PROGRAMS] or list(PROGRAMS)
    print(f"{'':36}" + "".join(f"{machine:>12}" for machine in machines))
    for name in names:
        program = PROGRAMS[name]
        cells = []
        for machine in machines:
            took = seconds(machine, program, program.count) - seconds(machine, program, 0)
            each = took / program.count / program.does
            cells.append(f"{each * 1e9:9.1f} ns")
        print(f"{program.what:36}" + "".join(f"{cell:>12}" for cell in cells), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
