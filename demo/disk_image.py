"""Assembles the demonstration disk of a PC from `demo/disk/boot.s`.

    python -m demo.disk_image build/demo.img

LLVM assembles; its object is linked to 7C00h here, and filled up to a whole number of cylinders.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).with_name("disk") / "boot.s"
ORIGIN = 0x7C00
SIZE = 1 << 20

R_386_32, R_386_PC32, R_386_16, R_386_PC16 = 1, 2, 20, 21
"""Relocations (System V ABI, Intel386 supplement; GNU's for 16 bits)."""


def assemble(source: str) -> bytes:
    """The object file that LLVM makes of an assembler's text for i386."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    llvm.initialize_native_asmparser()
    quoted = source.replace("\\", "\\5C").replace('"', "\\22").replace("\n", "\\0A")
    module = llvm.parse_assembly(f'target triple = "i386-unknown-none"\nmodule asm "{quoted}"\n')
    target = llvm.Target.from_triple("i386-unknown-none").create_target_machine()
    return bytes(target.emit_object(module))


def link(object_file: bytes, origin: int) -> bytes:
    """The section .text of an object, for a fixed address."""
    from elftools.elf.elffile import ELFFile

    elf = ELFFile(io.BytesIO(object_file))
    text = elf.get_section_by_name(".text")
    image = bytearray(text.data())
    relocations = elf.get_section_by_name(".rel.text")
    symbols = elf.get_section_by_name(".symtab")
    for relocation in relocations.iter_relocations() if relocations else ():
        symbol = symbols.get_symbol(relocation["r_info_sym"])
        _relocate(image, relocation, symbol["st_value"], origin)
    return bytes(image)


def _relocate(image: bytearray, relocation: Any, value: int, origin: int) -> None:
    kind, at = relocation["r_info_type"], relocation["r_offset"]
    size = 4 if kind in {R_386_32, R_386_PC32} else 2
    if kind not in {R_386_32, R_386_PC32, R_386_16, R_386_PC16}:
        raise ValueError(f"there is a relocation of type {kind} at {at:#x}")
    addend = int.from_bytes(image[at : at + size], "little")
    place = at if kind in {R_386_PC32, R_386_PC16} else -origin
    result = value + addend - place
    image[at : at + size] = (result & (1 << 8 * size) - 1).to_bytes(size, "little")


def disk_image() -> bytes:
    """The whole disk."""
    code = link(assemble(SOURCE.read_text()), ORIGIN)
    return code.ljust(SIZE, b"\0")


def main() -> None:
    """Write it."""
    target = Path(sys.argv[1])
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(disk_image())


if __name__ == "__main__":
    main()
