"""The vDSO as its readers see it: an ELF reader, a disassembler."""

from __future__ import annotations

import io

import capstone
from elftools.elf.elffile import ELFFile

from user_mode.abi.i386.vdso import LANDING_PAD, VDSO, VSYSCALL
from user_mode.abi.x86.shared_object import shared_object
from user_mode.elf import Machine

CODE = {
    "__kernel_vsyscall": "int 0x80; ret",
    "__kernel_sigreturn": "pop eax; mov eax, 0x77; int 0x80",
    "__kernel_rt_sigreturn": "mov eax, 0xad; int 0x80",
}


def disassembled(at: int, count: int) -> str:
    reader = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_32)
    found = list(reader.disasm(VDSO.image[at:], at))[:count]
    return "; ".join(f"{one.mnemonic} {one.op_str}".strip() for one in found)


def symbols(image: bytes) -> dict[str, int]:
    """The names that the dynamic section leads to."""
    elf = ELFFile(io.BytesIO(image))
    (dynamic,) = [one for one in elf.iter_segments() if one["p_type"] == "PT_DYNAMIC"]
    return {one.name: one["st_value"] for one in dynamic.iter_symbols() if one.name}


def test_its_symbols_are_what_programs_look_for() -> None:
    assert symbols(VDSO.image) == VDSO.symbols
    places = {name: VDSO.symbols[name] for name in CODE}
    found = {name: disassembled(places[name], text.count(";") + 1) for name, text in CODE.items()}
    assert found == CODE
    assert VDSO.symbols["__kernel_vsyscall"] == VSYSCALL


def test_a_call_by_sysenter_ends_behind_int_0x80() -> None:
    """Going back two bytes there makes the call again, whatever made it first."""
    assert disassembled(LANDING_PAD - 2, 5) == "int 0x80; pop ebp; pop edx; pop ecx; ret"


def test_headers_say_what_it_is() -> None:
    elf = ELFFile(io.BytesIO(VDSO.image))
    assert (elf["e_type"], elf["e_machine"], elf.elfclass) == ("ET_DYN", "EM_386", 32)
    load = elf.get_segment(0)
    assert (load["p_type"], load["p_flags"], load["p_memsz"]) == ("PT_LOAD", 5, len(VDSO.image))
    (name,) = [one.soname for one in elf.get_segment(1).iter_tags() if one["d_tag"] == "DT_SONAME"]
    assert name == "linux-gate.so.1"


def test_a_64_bit_object() -> None:
    made = shared_object(
        Machine(62, 64, "little"), "x.so.1", "X_1", b"\xc3\x90\xc3", {"a": 0, "b": 2}
    )
    assert symbols(made.image) == made.symbols
    assert made.image[made.symbols["b"]] == 0xC3
