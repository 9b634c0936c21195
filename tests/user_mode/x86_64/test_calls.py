"""System calls of x86-64: the registers they are in, segments, exceptions."""

from __future__ import annotations

import errno
import itertools
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from frontends.x86.fpu_image import write_mxcsr
from frontends.x86.state import ASK_CHECK_FLOATS, AX, CX, SP
from tcg.engine import Exit
from tcg.frontend import GuestException
from user_mode.abi.x86_64.convention import ARGUMENTS
from user_mode.abi.x86_64.numbers import NUMBERS
from user_mode.errors import Errno
from user_mode.siginfo import SI_KERNEL, SigInfo
from user_mode.syscalls import x86

HEADER = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")


@pytest.mark.skipif(not HEADER.exists(), reason="needs the headers of x86-64 Linux")
def test_numbers_are_those_of_the_headers() -> None:
    found = re.findall(r"#define __NR_(\w+) (\d+)", HEADER.read_text())
    theirs = {int(number): name for name, number in found}
    assert {number: NUMBERS[number] for number in theirs} == theirs


def test_arguments_come_from_their_registers(guest: Any) -> None:
    values = {"s32": -5, "u32": 0xF000_0001, "long": -7, "ulong": 1 << 63, "s64": -1, "u64": 9}
    for kinds in itertools.chain(
        itertools.product(values, repeat=1),
        itertools.product(values, repeat=2),
        [tuple(values), ("ulong",) * 6, ("s32", "ulong", "s32", "u32", "long")],
    ):
        for register, kind in zip(ARGUMENTS, kinds, strict=False):
            above = 0x5555_5555 << 32 if kind.endswith("32") else 0
            guest.set_register(register, values[kind] & ((1 << 32) - 1) | above
                               if above else values[kind])  # fmt: skip
        read = guest.abi.convention.reader(kinds)
        assert list(read(guest.cpu)) == [values[kind] for kind in kinds], kinds


def test_results_and_errors_come_back_in_rax(guest: Any) -> None:
    assert guest.getppid() == os.getppid()
    guest.set_register(AX, 0xFFFF_FFFF_0000_0000 | 110)
    guest.table.perform(guest.thread)
    assert guest.register(AX) == os.getppid(), "only eax is the number"
    with pytest.raises(Errno) as raised:
        guest.close(12345)
    assert raised.value.code == errno.EBADF
    assert guest.register(AX) == (1 << 64) - errno.EBADF


def test_a_call_begins_again_with_its_number(guest: Any) -> None:
    guest.set_register(AX, 35)
    before = guest.abi.convention.overwritten(guest.cpu)
    guest.abi.convention.fail(guest.cpu, errno.EINTR)
    guest.cpu.pc = 0x40_1002
    guest.abi.restart_syscall(guest.cpu, before)
    assert (guest.register(AX), guest.cpu.pc) == (35, 0x40_1000)


STAT = r"""
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statfs.h>
int main(int count, char **names) {
    struct stat s; struct statfs f;
    if (stat(names[1], &s) || statfs(names[1], &f)) return 1;
    fwrite(&s, sizeof s, 1, stdout); fwrite(&f, sizeof f, 1, stdout);
}
"""


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
def test_structures_are_the_hosts(guest: Any, tmp_path: Path) -> None:
    (tmp_path / "a.c").write_text(STAT)
    subprocess.run(["gcc", tmp_path / "a.c", "-o", tmp_path / "a"], check=True)
    name = os.fsencode(tmp_path / "a")
    wanted = subprocess.run([tmp_path / "a", name], capture_output=True, check=True).stdout
    stat, statfs = guest.room(144), guest.room(120)
    assert guest.stat(name, stat) == 0
    assert guest.memory.read(stat, 144) == wanted[:144]
    assert guest.statfs(name, statfs) == 0
    found = guest.memory.read(statfs, 120)
    assert found[:16] == wanted[144:160], "type and block size"
    assert found[56:88] == wanted[200:232], "fsid, longest name, fragments, flags"


def test_bases_of_segments(guest: Any) -> None:
    slots = guest.state.layout.slots
    assert guest.arch_prctl(x86.ARCH_SET_FS, guest.scratch) == 0
    assert guest.arch_prctl(x86.ARCH_SET_GS, 0x7777) == 0
    assert (guest.cpu.get(slots["fs_base"]), guest.cpu.get(slots["gs_base"])) == (
        guest.scratch, 0x7777,
    )  # fmt: skip
    room = guest.room(8)
    assert guest.arch_prctl(x86.ARCH_GET_FS, room) == 0
    assert guest.memory.u64(room) == guest.scratch
    for arguments, code in (
        ((x86.ARCH_SET_FS, 1 << 46), errno.EPERM),
        ((x86.ARCH_SET_CPUID, 0), errno.ENODEV),
        ((0x5001, 1), errno.EINVAL),
        ((x86.ARCH_GET_FS, 8), errno.EFAULT),
    ):
        with pytest.raises(Errno) as raised:
            guest.arch_prctl(*arguments)
        assert raised.value.code == code


def test_a_new_thread_has_its_parents_registers(guest: Any) -> None:
    guest.set_register(CX, 5)
    guest.set_register(AX, 56)
    guest.cpu.set_header("mxcsr", 0x3F80)
    child = guest.new_cpu()
    guest.abi.start_thread(child, guest.cpu, 0x7000, 0x8000)
    gpr, slots = guest.state.gpr.slots, guest.state.layout.slots
    assert [child.get(gpr[n]) for n in (AX, CX, SP)] == [0, 5, 0x7000]
    assert child.get(slots["fs_base"]) == 0x8000
    assert (child.pc, child.header("mxcsr")) == (guest.cpu.pc, 0x3F80)


# fmt: off
EXCEPTIONS = {
    GuestException.DIVIDE:     (signal.SIGFPE, 1, True, 0),
    GuestException.BREAKPOINT: (signal.SIGTRAP, SI_KERNEL, False, 3),
    GuestException.ILLEGAL:    (signal.SIGILL, 2, True, 6),
    GuestException.PROTECTION: (signal.SIGSEGV, SI_KERNEL, False, 13),
    GuestException.ALIGNMENT:  (signal.SIGSEGV, SI_KERNEL, False, 13),
    GuestException.TRAP:       (signal.SIGTRAP, 2, True, 1),
    GuestException.SIMD_FLOAT: (signal.SIGFPE, 3, True, 19),
}
# fmt: on


@pytest.mark.parametrize("code", EXCEPTIONS)
def test_exceptions_are_signals(guest: Any, code: GuestException) -> None:
    signo, si_code, has_address, number = EXCEPTIONS[code]
    write_mxcsr(guest.state, guest.cpu, 0x1D84)
    info = guest.abi.exception(guest.cpu, code)
    assert (info.signo, info.code) == (signo, si_code)
    assert info.address == (guest.cpu.pc if has_address else 0)
    guest.abi.note_trap(guest.thread, Exit("exception", guest.cpu.pc, code), info)
    assert guest.thread.trap == (number, 0, 0x1234)


CODE = 0x50_0000
KERNEL = 0xFFFF_8000_0000_0000
SEGV, BUS = signal.SIGSEGV, signal.SIGBUS
# fmt: off
ADDRESSES = {
    # what faults   its code    rax and rbp            reported          signal  address
    "load":        ("488b00",   0xDEAD_0000_0000_1008, 0x1008,           SEGV, None),
    "high":        ("488b4010", 0x7F00_0000_0000,      0x3F00_0000_0010, SEGV, 0x7F00_0000_0010),
    "kernel":      ("488900",   KERNEL + 8,            8,                SEGV, KERNEL + 8),
    "next page":   ("488b00",   0x4000_0000_0FF8,      0x1000,           SEGV, 0x4000_0000_1000),
    "near null":   ("488b4008", 0,                     8,                SEGV, 8),
    "below null":  ("488b40f8", 0,                     (1 << 46) - 8,    SEGV, (1 << 64) - 8),
    "not decoded": ("06",       0,                     0x5000,           SEGV, 0x5000),
    "stack":       ("488b4500", 1 << 63,               0,                BUS,  None),
}
# fmt: on


@pytest.mark.parametrize("name", ADDRESSES)
def test_the_whole_address_of_a_fault_is_told(guest: Any, name: str) -> None:
    code, value, reported, signo, address = ADDRESSES[name]
    guest.memory.mmap(CODE, 4096, 7, 0x32)
    guest.memory.write(CODE, bytes.fromhex(code))
    for register in (AX, 5):
        guest.set_register(register, value)
    stop = Exit("fault", CODE, 1, reported, False, signal.SIGSEGV)
    noted = guest.abi.note_trap(guest.thread, stop, SigInfo(signal.SIGSEGV, 1, address=reported))
    assert noted.signo == signo
    if address is None:
        assert (noted.code, noted.address) == (SI_KERNEL, 0)
        assert guest.thread.trap[0] == (12 if signo == signal.SIGBUS else 13)
    else:
        assert (noted.code, noted.address) == (1, address)
        assert guest.thread.trap == (14, 4, address)


def test_the_vsyscall_page_is_calls(guest: Any) -> None:
    guest.memory.put_u64(guest.stack, 0x40_1234)
    guest.set_register(SP, guest.stack)
    guest.set_register(7, 0)
    page = 0xFFFF_FFFF_FF60_0400
    stop = Exit("fault", page, 0, page, False, signal.SIGSEGV)
    info = SigInfo(signal.SIGSEGV, 1, address=page)
    assert guest.abi.note_trap(guest.thread, stop, info) is None
    assert (guest.cpu.pc, guest.register(SP)) == (0x40_1234, guest.stack + 8)
    assert abs(guest.register(AX) - int(subprocess.check_output(["date", "+%s"]))) <= 2


def test_cpuid_and_random_numbers_are_served(guest: Any) -> None:
    from frontends.x86.state import ASK_CPUID, ASK_RDRAND

    asked = []

    def leaf(number: int, part: int) -> tuple[int, int, int, int]:
        asked.append((number, part))
        return 1, 2, 3, 4

    guest.abi.model = SimpleNamespace(leaf=leaf)
    guest.set_register(AX, 0xFFFF_FFFF_8000_0001)
    guest.set_register(CX, 0x1_0000_0007)
    guest.abi.on_ask(guest.thread, ASK_CPUID)
    assert asked == [(0x8000_0001, 7)]
    assert [guest.register(n) for n in range(4)] == [1, 3, 4, 2]
    guest.set_register(9, (1 << 64) - 1)
    guest.abi.on_ask(guest.thread, ASK_RDRAND | 9 << 8 | 2 << 16)
    assert guest.register(9) >> 16 == (1 << 48) - 1
    guest.abi.on_ask(guest.thread, ASK_RDRAND | 9 << 8 | 4 << 16)
    assert guest.register(9) >> 32 == 0


def test_cpuinfo_is_that_of_the_model() -> None:
    from frontends.x86.cpuid import MODELS
    from user_mode.abi.x86.cpuinfo import cpuinfo

    text = cpuinfo(MODELS["Nehalem"], 3)
    assert text.count("\n\n") == 3
    rows = dict(re.findall(r"(\w[\w ]*?)\t+: (.*)", text))
    assert rows["processor"] == "2"
    assert (rows["cpu family"], rows["model"]) == ("6", "26")
    flags = rows["flags"].split()
    assert {"fpu", "sse2", "pni", "ssse3", "sse4_2", "lm"} <= set(flags)
    assert not {"aes", "avx", "sse3"} & set(flags)


def test_code_looks_for_float_exceptions_once_they_are_let_through(guest: Any) -> None:
    anew = []
    guest.process.translate_anew = lambda: anew.append(guest.frontend.place)
    guest.abi.follow_mxcsr(guest.thread)
    assert not anew
    guest.cpu.set(guest.state.layout.slots["mxcsr_enabled"], 4)
    for _ in range(2):
        guest.abi.on_ask(guest.thread, ASK_CHECK_FLOATS)
    assert anew == [guest.frontend.place]
    assert guest.frontend.place.endswith("__checked")


def test_processors_without_64_bit_code_are_not_offered() -> None:
    from user_mode.build import X86_64, cpu_model

    names = list(X86_64.cpus())
    assert names[0] == cpu_model("").name
    assert {"qemu64", "Nehalem"} <= set(names)
    assert not {"486", "pentium3", "qemu32"} & set(names)
