"""Signal frames: what a handler finds, and that going back restores everything."""

from __future__ import annotations

import signal
import struct
from typing import Any

import pytest

from frontends.x86.registers import read_eflags, write_eflags
from frontends.x86.state import AX, CF, CX, DF, DI, DX, SP, TF, ZF
from user_mode.abi.i386 import sigframe
from user_mode.abi.i386.fpstate import fnsave_header, with_fnsave
from user_mode.abi.i386.vdso import RT_SIGRETURN_AT, SIGRETURN_AT
from user_mode.siginfo import SigInfo, unpack
from user_mode.signals import SA_ONSTACK, SA_SIGINFO, AltStack, Delivery, SigAction

from .conftest import VDSO

HANDLER, RESTORER = 0x0804_9000, 0x0804_A000
MASK = 0x8000_0001_0000_0002
FAULT = SigInfo(signal.SIGSEGV, 1, address=0x1234)
RESTORED = sigframe.SA_RESTORER


@pytest.fixture
def busy(guest: Any) -> Any:
    """Every register has a value of its own."""
    for i in range(8):
        if i != SP:
            guest.set_register(i, 0x1010_1010 * (i + 1))
    write_eflags(guest.state, guest.cpu, 0x202 | CF | ZF | DF | TF)
    guest.cpu.pc = 0x0804_8123
    for i, slot in enumerate(guest.state.xmm.slots):
        guest.cpu.set(slot, 0x0123_4567_89AB_CDEF << i)
    return guest


def push(guest: Any, flags: int, stack: AltStack | None = None) -> int:
    """Enter a handler; gives its stack pointer."""
    action = SigAction(HANDLER, flags, 0, RESTORER)
    delivery = Delivery(FAULT, action, MASK, stack or AltStack())
    guest.abi.push_frame(guest.thread, delivery)
    return int(guest.register(SP))


def everything(guest: Any) -> tuple[Any, ...]:
    """All registers."""
    found = guest.abi.registers.read(guest.cpu)
    vectors = [guest.cpu.get(slot) for slot in guest.state.xmm.slots]
    return found.gpr, found.pc, found.flags, found.segments, vectors


@pytest.mark.parametrize(("flags", "words"), [(0, 8), (SA_SIGINFO, 4)])
def test_going_back_restores_everything(busy: Any, flags: int, words: int) -> None:
    before = everything(busy)
    sp = push(busy, flags)
    assert everything(busy) != before
    busy.set_register(SP, sp + words)
    for slot in (*busy.state.xmm.slots, busy.state.gpr.slots[DI]):
        busy.cpu.set(slot, 0)
    context = busy.abi.pop_frame(busy.thread, is_rt=bool(flags))
    assert everything(busy) == before
    assert context.mask == MASK


def test_what_a_handler_with_siginfo_finds(busy: Any) -> None:
    sp = push(busy, SA_SIGINFO)
    memory = busy.memory
    back, signo, info, context = struct.unpack("<4I", memory.read(sp, 16))
    assert (sp + 4) % 16 == 0
    assert (back, signo) == (VDSO + RT_SIGRETURN_AT, signal.SIGSEGV)
    assert [busy.register(r) for r in (AX, DX, CX)] == [signal.SIGSEGV, info, context]
    assert unpack(memory.read(info, 128), sigframe.MODEL) == FAULT
    layout = sigframe.STRUCTS["ucontext"]
    values = layout.values(memory.read(context, layout.size))
    machine = {
        name.partition(".")[2]: value
        for name, value in values.items()
        if name.startswith("uc_mcontext.")
    }
    assert [machine[name] for name in ("trapno", "err", "cr2")] == [14, 6, 0x1234]
    assert [machine[name] for name in ("ax", "di")] == [0x1010_1010, 0x8080_8080]
    assert (machine["ip"], machine["sp"]) == (0x0804_8123, busy.stack)
    assert machine["flags"] == 0x202 | CF | ZF | DF | TF
    assert [machine[name] for name in ("cs", "ss", "ds", "gs")] == [0x23, 0x2B, 0x2B, 0]
    assert machine["oldmask"] == MASK & 0xFFFFFFFF
    assert machine["fpstate"] % 64 == 64 - sigframe.FSAVE_BYTES % 64
    retcode = sigframe.STRUCTS["rt_sigframe"].offset("retcode")
    assert memory.read(sp + retcode, 7).hex() == "b8ad000000cd80"


def test_a_handler_starts_with_its_own_flags_and_fpu(busy: Any) -> None:
    push(busy, SA_SIGINFO)
    assert read_eflags(busy.state, busy.cpu) & (DF | TF) == 0
    assert read_eflags(busy.state, busy.cpu) & CF
    assert not any(busy.cpu.get(slot) for slot in busy.state.xmm.slots)
    assert busy.cpu.pc == HANDLER


def test_what_an_old_handler_finds(busy: Any) -> None:
    sp = push(busy, 0)
    back, signo = struct.unpack("<2I", busy.memory.read(sp, 8))
    assert (back, signo) == (VDSO + SIGRETURN_AT, signal.SIGSEGV)
    assert [busy.register(r) for r in (AX, DX, CX)] == [signal.SIGSEGV, 0, 0]
    layout = sigframe.STRUCTS["sigframe"]
    values = layout.values(busy.memory.read(sp, layout.size))
    assert (values["sc.oldmask"], values["extramask"]) == (MASK & 0xFFFFFFFF, MASK >> 32)
    assert values["retcode"].hex() == "58b877000000cd80"


@pytest.mark.parametrize("flags", [RESTORED, SA_SIGINFO | RESTORED])
def test_a_restorer_is_where_handlers_return_to(busy: Any, flags: int) -> None:
    assert busy.memory.u32(push(busy, flags)) == RESTORER


def test_a_handler_on_its_own_stack(busy: Any) -> None:
    base = busy.memory.mmap(0, 65536, 3, 0x22)
    stack = AltStack(base, 0, 65536)
    sp = push(busy, SA_SIGINFO | SA_ONSTACK, stack)
    assert base < sp < base + 65536
    busy.set_register(SP, sp + 4)
    assert busy.abi.pop_frame(busy.thread, is_rt=True).stack == stack
    assert busy.register(SP) == busy.stack


def test_a_handler_may_change_what_is_restored(busy: Any) -> None:
    sp = push(busy, SA_SIGINFO)
    machine = sp + sigframe.STRUCTS["rt_sigframe"].offset("uc.uc_mcontext.gs")
    place = sigframe.STRUCTS["sigcontext"].offset
    busy.memory.put_u32(machine + place("ip"), 0x0805_0000)
    busy.memory.put_u32(machine + place("flags"), 0xFFFF_FFFF)
    busy.memory.put_u16(machine + place("gs"), 0x63)
    busy.set_register(SP, sp + 4)
    busy.abi.pop_frame(busy.thread, is_rt=True)
    assert busy.cpu.pc == 0x0805_0000
    assert read_eflags(busy.state, busy.cpu) == 0x50FD7, "AC RF OF DF IF TF SF ZF AF PF 1 CF"
    assert busy.cpu.get(busy.state.selectors.slots[5]) == 0, "no such descriptor"


def registers(*values: int) -> bytes:
    """Eight x87 registers as FXSAVE has them."""
    return b"".join(value.to_bytes(10, "little").ljust(16, b"\0") for value in values)


ONE, TINY, INFINITE = 0x3FFF << 64 | 1 << 63, 1, 0x7FFF << 64 | 1 << 63


def test_fnsave_s_image_follows_from_fxsave_s() -> None:
    """Top of stack 6: ST0 is physical register 6, ST1 7, ST2 0, ST3 1."""
    head = struct.pack("<HHBxHQQII", 0x37F, 6 << 11, 0b1100_0011, 0x123, 0x1111, 0x2222, 0x1F80, 0)
    image = (head + registers(ONE, 0, TINY, INFINITE, 0, 0, 0, 0)).ljust(512, b"\x77")
    header = fnsave_header(image)
    words = struct.unpack("<7I", header[:28])
    tags = 0b01_00_11_11_11_11_10_10
    assert words == (
        0xFFFF037F, 0xFFFF3000, 0xFFFF0000 | tags, 0x1111, 0x23, 0x2222, 0xFFFF002B,
    )  # fmt: skip
    assert header[28:38] == ONE.to_bytes(10, "little")
    assert struct.unpack("<HH", header[108:]) == (6 << 11, 0)
    restored = with_fnsave(bytes(512), header)
    assert restored[:6] == image[:6], "control and status words, tags"
    assert restored[8:24] == image[8:24], "pointers"
    assert restored[32:160] == image[32:160], "registers"
