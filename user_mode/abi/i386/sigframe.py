"""Signal frames of i386: what the kernel pushes for a handler and pops after it.

Two kinds: `rt_sigframe` for handlers installed with SA_SIGINFO, `sigframe` for the others.  From
low to high addresses:

    esp -> return address: the restorer that sigaction(2) was given, or the vDSO's way back
           the signal's number
           rt_sigframe: pointers to siginfo and ucontext, these two, code for old debuggers
           sigframe:    sigcontext, room for an old fpstate, rest of the mask, code likewise
           fpstate: an FNSAVE image, then, at a multiple of 64, an FXSAVE or XSAVE image

Source: arch/x86/kernel/{signal,signal_32}.c, arch/x86/include/asm/sigframe.h,
arch/x86/include/uapi/asm/sigcontext.h, as a 64-bit kernel builds them for 32-bit programs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from user_mode.abi.i386 import structs
from user_mode.abi.i386.vdso import NR_RT_SIGRETURN, NR_SIGRETURN, RT_SIGRETURN, SIGRETURN
from user_mode.abi.layout import Structs
from user_mode.abi.x86.registers import (
    CLEARED_FOR_HANDLERS,
    CS,
    DS,
    ES,
    FS,
    GS,
    SS,
    USER_CS_32,
    USER_DS,
    USER_FLAGS,
    Registers,
)
from user_mode.siginfo import pack
from user_mode.signals import AltStack, Context, Delivery

MODEL = structs.STRUCTS.model

LAYOUTS = """
altstack    ptr ss_sp, int ss_flags, size ss_size
sigcontext  u16 gs, u16 pad0, u16 fs, u16 pad1, u16 es, u16 pad2, u16 ds, u16 pad3, u32 di, u32 si,
            u32 bp, u32 sp, u32 bx, u32 dx, u32 cx, u32 ax, u32 trapno, u32 err, u32 ip, u16 cs,
            u16 pad4, u32 flags, u32 sp_at_signal, u16 ss, u16 pad5, ptr fpstate, u32 oldmask,
            u32 cr2
ucontext    ulong uc_flags, ptr uc_link, altstack uc_stack, sigcontext uc_mcontext,
            u32 uc_sigmask[2]
rt_sigframe ptr pretcode, int sig, ptr pinfo, ptr puc, char info[128], ucontext uc, char retcode[8]
sigframe    ptr pretcode, int sig, sigcontext sc, char fpstate_unused[624], u32 extramask,
            char retcode[8]
"""

STRUCTS = Structs(MODEL, LAYOUTS)

UC_FP_XSTATE = 1
SA_RESTORER = 0x0400_0000
FSAVE_BYTES = 112
"""The FNSAVE image with the words `status` and `magic` behind it."""
_FX_ALIGN = 64

_GPR_NAMES = ("ax", "cx", "dx", "bx", "sp", "bp", "si", "di")
_SEGMENT_NAMES = {ES: "es", CS: "cs", SS: "ss", DS: "ds", FS: "fs", GS: "gs"}


@dataclass(frozen=True, slots=True)
class Ways:
    """Where handlers return to if sigaction(2) was told of no restorer."""

    sigreturn: int
    rt_sigreturn: int


@dataclass(frozen=True, slots=True)
class Interruption:
    """What the frame shows beside the integer registers."""

    trap: tuple[int, int, int]
    """Number, error code and address (CR2) of the thread's last exception."""
    fpstate: bytes
    """FNSAVE image and what follows it."""
    has_xstate: bool


class Memory(Protocol):
    """The one thing that is asked of guest memory here."""

    def read(self, address: int, size: int, /) -> bytes:
        """Raises Errno(EFAULT)."""


def frame_places(delivery: Delivery, sp: int, size: int, fpstate: int) -> tuple[int, int]:
    """Where a frame and its fpstate go: the kernel's get_sigframe().

    At a handler's first instruction esp + 4 is a multiple of 16, as the ABI wants it.
    """
    fx_image = delivery.frame_address(sp, fpstate - FSAVE_BYTES, _FX_ALIGN)
    state = fx_image - FSAVE_BYTES
    return (state - size + 4 & -16) - 4, state


def machine_context(
    registers: Registers, interruption: Interruption, fpstate: int, mask: int
) -> dict[str, int]:
    """The members of a struct sigcontext."""
    trapno, error, address = interruption.trap
    segments = {name: registers.segments[at] for at, name in _SEGMENT_NAMES.items()}
    return {
        **dict(zip(_GPR_NAMES, registers.gpr, strict=True)),
        **segments,
        "trapno": trapno,
        "err": error,
        "ip": registers.pc,
        "flags": registers.flags,
        "sp_at_signal": registers.gpr[4],
        "fpstate": fpstate,
        "oldmask": mask & 0xFFFF_FFFF,
        "cr2": address,
    }


def restored(values: dict[str, int], before: Registers) -> Registers:
    """The registers of a struct sigcontext; flags that are the kernel's stay as they are."""
    segments = [values[_SEGMENT_NAMES[at]] for at in range(len(_SEGMENT_NAMES))]
    segments[CS] |= 3
    segments[SS] |= 3
    return Registers(
        gpr=[values[name] for name in _GPR_NAMES],
        pc=values["ip"],
        flags=before.flags & ~USER_FLAGS | values["flags"] & USER_FLAGS,
        segments=segments,
    )


def push_rt(
    registers: Registers, delivery: Delivery, ways: Ways, interruption: Interruption
) -> tuple[int, bytes, Registers]:
    """The rt_sigframe of a handler: its address, its bytes, and the registers to start with."""
    layout = STRUCTS["rt_sigframe"]
    sp = registers.gpr[4]
    frame, fpstate = frame_places(delivery, sp, layout.size, len(interruption.fpstate))
    machine = machine_context(registers, interruption, fpstate, delivery.mask)
    info, context = frame + layout.offset("info"), frame + layout.offset("uc.uc_flags")
    head = layout.make(
        **{
            "pretcode": _restorer(delivery, ways.rt_sigreturn),
            "sig": delivery.info.signo,
            "pinfo": info,
            "puc": context,
            "info": pack(delivery.info, MODEL),
            "uc.uc_flags": UC_FP_XSTATE if interruption.has_xstate else 0,
            "uc.uc_stack.ss_sp": delivery.stack.base,
            "uc.uc_stack.ss_flags": delivery.stack.flags_at(sp),
            "uc.uc_stack.ss_size": delivery.stack.size,
            "uc.uc_sigmask.0": delivery.mask & 0xFFFF_FFFF,
            "uc.uc_sigmask.1": delivery.mask >> 32,
            "retcode": RT_SIGRETURN,
            **{f"uc.uc_mcontext.{name}": value for name, value in machine.items()},
        }
    )
    raw = head.ljust(fpstate - frame, b"\0") + interruption.fpstate
    return frame, raw, _started(registers, delivery, frame, info, context)


def push_old(
    registers: Registers, delivery: Delivery, ways: Ways, interruption: Interruption
) -> tuple[int, bytes, Registers]:
    """The sigframe of a handler without SA_SIGINFO; like `push_rt`."""
    layout = STRUCTS["sigframe"]
    size = len(interruption.fpstate)
    frame, fpstate = frame_places(delivery, registers.gpr[4], layout.size, size)
    machine = machine_context(registers, interruption, fpstate, delivery.mask)
    head = layout.make(
        **{
            "pretcode": _restorer(delivery, ways.sigreturn),
            "sig": delivery.info.signo,
            "extramask": delivery.mask >> 32,
            "retcode": SIGRETURN,
            **{f"sc.{name}": value for name, value in machine.items()},
        }
    )
    raw = head.ljust(fpstate - frame, b"\0") + interruption.fpstate
    return frame, raw, _started(registers, delivery, frame, 0, 0)


def _restorer(delivery: Delivery, usual: int) -> int:
    return delivery.action.restorer if delivery.action.flags & SA_RESTORER else usual


def _started(
    registers: Registers, delivery: Delivery, frame: int, info: int, context: int
) -> Registers:
    """The registers that a handler starts with; also for handlers that take register arguments."""
    gpr = list(registers.gpr)
    gpr[0], gpr[1], gpr[2], gpr[4] = delivery.info.signo, context, info, frame
    segments = list(registers.segments)
    segments[DS] = segments[ES] = segments[SS] = USER_DS
    segments[CS] = USER_CS_32
    flags = registers.flags & ~CLEARED_FOR_HANDLERS
    handler = delivery.action.handler
    return replace(registers, gpr=gpr, pc=handler, flags=flags, segments=segments)


@dataclass(frozen=True, slots=True)
class Popped:
    """What a frame says of the interrupted program."""

    registers: Registers
    context: Context
    fpstate: int
    """The address of its FPU state; 0 for none."""


def pop_rt(memory: Memory, sp: int, before: Registers) -> Popped:
    """What rt_sigreturn restores from the frame; its return address was popped."""
    layout = STRUCTS["ucontext"]
    address = sp - 4 + STRUCTS["rt_sigframe"].offset("uc.uc_flags")
    values = layout.values(memory.read(address, layout.size))
    prefix = "uc_mcontext."
    machine = {k.removeprefix(prefix): v for k, v in values.items() if k.startswith(prefix)}
    mask = values["uc_sigmask.0"] | values["uc_sigmask.1"] << 32
    names = ("uc_stack.ss_sp", "uc_stack.ss_flags", "uc_stack.ss_size")
    stack = AltStack(*(values[name] for name in names))
    return Popped(restored(machine, before), Context(mask, stack), machine["fpstate"])


def pop_old(memory: Memory, sp: int, before: Registers) -> Popped:
    """What sigreturn restores from the frame; return address and number were popped."""
    layout = STRUCTS["sigframe"]
    values = layout.values(memory.read(sp - 8, layout.size))
    machine = {k.removeprefix("sc."): v for k, v in values.items() if k.startswith("sc.")}
    mask = machine["oldmask"] | values["extramask"] << 32
    return Popped(restored(machine, before), Context(mask, None), machine["fpstate"])


__all__ = [
    "NR_RT_SIGRETURN", "NR_SIGRETURN", "STRUCTS", "Interruption", "Popped", "Ways", "pop_old",
    "pop_rt", "push_old", "push_rt",
]  # fmt: skip
