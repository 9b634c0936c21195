"""Signal frames: where things lie, what a handler finds, that going back restores everything."""

from __future__ import annotations

import errno
import shutil
import signal
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest

from frontends.x86.registers import read_eflags, write_eflags
from frontends.x86.state import AX, CF, DF, DI, DX, SI, SP, TF, ZF
from user_mode.abi.x86 import fpstate
from user_mode.abi.x86_64 import sigframe
from user_mode.errors import Errno
from user_mode.siginfo import HOST, SigInfo, unpack
from user_mode.signals import SA_ONSTACK, SA_SIGINFO, AltStack, Delivery, SigAction

HANDLER, RESTORER = 0x40_2000, 0x40_3000
MASK = 0x8000_0001_0000_0002
FAULT = SigInfo(signal.SIGSEGV, 1, address=0x1234_5678_9ABC)
FRAME, UC = sigframe.STRUCTS["rt_sigframe"], sigframe.STRUCTS["ucontext"]

PROGRAM = r"""
#include <stddef.h>
#include <linux/signal.h>
#include <asm/sigcontext.h>
#include <asm/ucontext.h>
struct rt_sigframe { char *pretcode; struct ucontext uc; siginfo_t info; };
const unsigned int answers[] = { %s };
"""


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
def test_frames_lie_as_the_headers_say(tmp_path: Path) -> None:
    from elftools.elf.elffile import ELFFile

    context = sigframe.STRUCTS["sigcontext"]
    names = {"di": "rdi", "sp": "rsp", "ip": "rip", "flags": "eflags", "ax": "rax"}
    wanted = {
        "sizeof(struct rt_sigframe)": FRAME.size,
        "offsetof(struct rt_sigframe, info)": FRAME.offset("info"),
        "offsetof(struct rt_sigframe, uc.uc_mcontext)": FRAME.offset("uc.uc_mcontext.r8"),
        "offsetof(struct rt_sigframe, uc.uc_sigmask)": FRAME.offset("uc.uc_sigmask"),
        "offsetof(struct rt_sigframe, uc.uc_stack.ss_size)": FRAME.offset("uc.uc_stack.ss_size"),
        "sizeof(struct sigcontext)": context.size,
        **{
            f"offsetof(struct sigcontext, {names.get(name, name)})": context.offset(name)
            for name in (*names, "err", "trapno", "oldmask", "cr2", "cs", "gs", "fs", "ss")
        },
        "offsetof(struct sigcontext, fpstate)": context.offset("fpstate"),
        "offsetof(struct _xstate, xstate_hdr)": fpstate.FXSAVE_BYTES,
        "offsetof(struct _xstate, ymmh)": fpstate.FXSAVE_BYTES + fpstate.HEADER_BYTES,
        "FP_XSTATE_MAGIC1": fpstate.MAGIC1,
        "FP_XSTATE_MAGIC2": fpstate.MAGIC2,
        "UC_FP_XSTATE": sigframe.UC_FP_XSTATE,
        "UC_SIGCONTEXT_SS": sigframe.UC_SIGCONTEXT_SS,
        "UC_STRICT_RESTORE_SS": sigframe.UC_STRICT_RESTORE_SS,
    }
    source, target = tmp_path / "a.c", tmp_path / "a.o"
    source.write_text(PROGRAM % ", ".join(wanted))
    subprocess.run(["gcc", "-c", source, "-o", target], check=True)
    with target.open("rb") as file:
        data = ELFFile(file).get_section_by_name(".rodata").data()
    theirs = struct.unpack(f"<{len(wanted)}I", data[: 4 * len(wanted)])
    assert dict(zip(wanted, theirs, strict=True)) == wanted


def make_busy(guest: Any) -> None:
    """Every register has a value of its own."""
    for i in range(16):
        if i != SP:
            guest.set_register(i, 0x0101_0101_0101_0101 * (i + 1))
    write_eflags(guest.state, guest.cpu, 0x202 | CF | ZF | DF | TF)
    guest.cpu.pc = 0x40_1234
    guest.cpu.set_header("mxcsr", 0x1FA5)
    for i, slot in enumerate(guest.state.xmm.slots):
        guest.cpu.set(slot, 0x0123_4567_89AB_CDEF << i)
    for i, slot in enumerate(guest.state.ymmh.slots):
        guest.cpu.set(slot, 0x0FED_CBA9_8765_4321 << i)


def push(guest: Any, flags: int = SA_SIGINFO, stack: AltStack | None = None) -> int:
    """Enter a handler; gives its stack pointer."""
    action = SigAction(HANDLER, flags | sigframe.SA_RESTORER, 0, RESTORER)
    guest.abi.push_frame(guest.thread, Delivery(FAULT, action, MASK, stack or AltStack()))
    return int(guest.register(SP))


def everything(guest: Any) -> tuple[Any, ...]:
    """All registers that a frame has."""
    found = guest.abi.registers.read(guest.cpu)
    vectors = [guest.cpu.get(slot) for slot in guest.state.xmm.slots]
    return found.gpr, found.pc, found.flags, found.segments, vectors, guest.cpu.header("mxcsr")


def uppers(guest: Any) -> list[int]:
    """The upper halves of the ymm registers."""
    return [guest.cpu.get(slot) for slot in guest.state.ymmh.slots]


def test_a_handler_finds_what_the_kernel_shows(guest: Any) -> None:
    make_busy(guest)
    before = everything(guest)
    sp = push(guest)
    frame = FRAME.values(guest.memory.read(sp, FRAME.size))
    assert sp % 16 == 8, "as after a call"
    assert frame["pretcode"] == RESTORER
    assert guest.cpu.pc == HANDLER
    info, context = sp + FRAME.offset("info"), sp + FRAME.offset("uc.uc_flags")
    registers = [guest.register(n) for n in (DI, SI, DX, AX)]
    assert registers == [signal.SIGSEGV, info, context, 0]
    assert read_eflags(guest.state, guest.cpu) == 0x202 | CF | ZF, "DF and TF are clear"
    machine = {k[len("uc.uc_mcontext.") :]: v for k, v in frame.items() if "mcontext" in k}
    assert [machine[name] for name in sigframe.GPR_FIELDS] == before[0]
    assert (machine["ip"], machine["flags"]) == (before[1], before[2])
    assert (machine["trapno"], machine["err"], machine["cr2"]) == (14, 6, 0x1234)
    assert (machine["cs"], machine["ss"]) == (0x33, 0x2B)
    assert frame["uc.uc_sigmask"] == machine["oldmask"] == MASK
    assert frame["uc.uc_flags"] == 6
    assert unpack(frame["info"], HOST) == FAULT
    fp = machine["fpstate"]
    assert fp % 64 == 0
    assert sp + FRAME.size <= fp
    assert fp + 512 <= before[0][SP] - 128, "the red zone is untouched"
    image = guest.memory.read(fp, 512)
    assert struct.unpack_from("<H", image)[0] == 0x37F
    assert struct.unpack_from("<I", image, 24)[0] == 0x1FA5
    assert int.from_bytes(image[160 + 48 : 160 + 64], "little") == 0x0123_4567_89AB_CDEF << 3
    assert guest.cpu.header("mxcsr") == 0x1F80, "a handler starts with a fresh FPU"


def test_going_back_restores_everything(guest: Any) -> None:
    make_busy(guest)
    before = everything(guest)
    sp = push(guest, 0)
    assert guest.memory.read(sp + FRAME.offset("info"), 128) == bytes(128)
    guest.set_register(SP, sp + 8)
    context = guest.abi.pop_frame(guest.thread, True)
    assert everything(guest) == before
    assert (context.mask, context.stack) == (MASK, AltStack(0, 2, 0))


def test_a_handler_may_change_its_frame(guest: Any) -> None:
    sp = push(guest)
    at = sp + FRAME.offset("uc.uc_flags")
    values = UC.values(guest.memory.read(at, UC.size))
    values |= {"uc_mcontext.r13": 1 << 63, "uc_mcontext.ip": 5, "uc_mcontext.flags": -1}
    values |= {"uc_mcontext.fpstate": 0, "uc_mcontext.cs": 0}
    guest.memory.write(at, UC.make(**values))
    guest.cpu.set(guest.state.xmm.slots[1], 5)
    guest.set_register(SP, sp + 8)
    guest.abi.pop_frame(guest.thread, True)
    assert (guest.register(13), guest.cpu.pc) == (1 << 63, 5)
    assert read_eflags(guest.state, guest.cpu) == 0x50FD7 | 0x202 & 0x200
    assert guest.cpu.get(guest.state.xmm.slots[1]) == 0, "no state in the frame: the initial one"


def test_reserved_bits_of_mxcsr_are_refused(guest: Any) -> None:
    sp = push(guest)
    context = sigframe.STRUCTS["rt_sigframe"].values(guest.memory.read(sp, FRAME.size))
    guest.memory.put_u32(context["uc.uc_mcontext.fpstate"] + 24, 0x0100_1F80)
    guest.set_register(SP, sp + 8)
    with pytest.raises(Errno):
        guest.abi.pop_frame(guest.thread, True)


def test_upper_halves_go_through_an_xsave_area(guest_with_avx: Any) -> None:
    guest = guest_with_avx
    make_busy(guest)
    before, upper = everything(guest), uppers(guest)
    sp = push(guest)
    assert uppers(guest) == [0] * 16
    frame = FRAME.values(guest.memory.read(sp, FRAME.size))
    assert frame["uc.uc_flags"] == 7
    fp = frame["uc.uc_mcontext.fpstate"]
    magic, size, features, xstate = struct.unpack("<IIQI", guest.memory.read(fp + 464, 20))
    assert (magic, size, features, xstate) == (fpstate.MAGIC1, 836, 7, 832)
    assert guest.memory.u32(fp + 832) == fpstate.MAGIC2
    assert guest.memory.u64(fp + 512) == 7
    guest.set_register(SP, sp + 8)
    guest.abi.pop_frame(guest.thread, True)
    assert (everything(guest), uppers(guest)) == (before, upper)
    # A component that the header leaves out goes back to its initial state.
    push(guest)
    guest.memory.put_u64(fp + 512, 3)
    guest.set_register(SP, sp + 8)
    guest.abi.pop_frame(guest.thread, True)
    assert (everything(guest), uppers(guest)) == (before, [0] * 16)


def test_the_alternate_stack_is_used_once(guest: Any) -> None:
    make_busy(guest)
    base = guest.room(8192)
    stack = AltStack(base, 0, 8192)
    sp = push(guest, SA_ONSTACK, stack)
    assert base < sp < base + 8192
    assert FRAME.values(guest.memory.read(sp, FRAME.size))["uc.uc_stack.ss_flags"] == 0
    inner = push(guest, SA_ONSTACK, stack)
    assert base < inner < sp
    assert FRAME.values(guest.memory.read(inner, FRAME.size))["uc.uc_stack.ss_flags"] == 1


def test_an_alternate_stack_that_is_too_small_is_a_fault(guest: Any) -> None:
    base = guest.room(8192)
    with pytest.raises(Errno):
        push(guest, SA_ONSTACK, AltStack(base, 0, 600))


def test_a_handler_without_a_restorer_is_a_fault(guest: Any) -> None:
    delivery = Delivery(FAULT, SigAction(HANDLER), MASK, AltStack())
    with pytest.raises(Errno) as raised:
        guest.abi.push_frame(guest.thread, delivery)
    assert raised.value.code == errno.EFAULT
