"""Signal frames of Linux on x86-64: what the kernel pushes for a handler and pops after it.

From low to high addresses, below the 128 bytes under rsp that belong to the interrupted function:

    rsp -> address of the restorer, as if the handler had been called from there
           ucontext: flags, alternate stack, sigcontext, signal mask
           siginfo
           (64-byte aligned) FXSAVE's image, or XSAVE's

The restorer is the C library's (SA_RESTORER); without one there is no handler.  Every handler gets
the frame of those with SA_SIGINFO, but for others the siginfo is not filled.

Source: arch/x86/kernel/signal.c, signal_64.c, arch/x86/include/uapi/asm/{ucontext,sigcontext}.h.
"""

from __future__ import annotations

import errno
from dataclasses import replace
from typing import TYPE_CHECKING

from frontends.x86.state import AX, DI, DX, SI, SP
from user_mode.abi import linux
from user_mode.abi.layout import Structs
from user_mode.abi.x86.registers import (
    CLEARED_FOR_HANDLERS,
    CS,
    FS,
    GS,
    SS,
    USER_CS_64,
    USER_DS,
    USER_FLAGS,
    Registers,
)
from user_mode.abi.x86_64 import structs
from user_mode.errors import Errno
from user_mode.siginfo import pack
from user_mode.signals import SA_ONSTACK, SA_SIGINFO, AltStack, Context, Delivery

if TYPE_CHECKING:
    from user_mode.abi.x86.fpstate import Memory

SA_RESTORER = 0x0400_0000
RED_ZONE = 128
FP_ALIGNMENT, FRAME_ALIGNMENT = 64, 16
UC_FP_XSTATE, UC_SIGCONTEXT_SS, UC_STRICT_RESTORE_SS = 1, 2, 4

LAYOUTS = """
sigcontext  u64 r8, u64 r9, u64 r10, u64 r11, u64 r12, u64 r13, u64 r14, u64 r15, u64 di, u64 si,
            u64 bp, u64 bx, u64 dx, u64 ax, u64 cx, u64 sp, u64 ip, u64 flags,
            u16 cs, u16 gs, u16 fs, u16 ss, u64 err, u64 trapno, u64 oldmask, u64 cr2, ptr fpstate,
            u64 reserved1[8]
ucontext    ulong uc_flags, ptr uc_link, altstack uc_stack, sigcontext uc_mcontext, u64 uc_sigmask
rt_sigframe ptr pretcode, ucontext uc, char info[128]
"""

STRUCTS = Structs(structs.STRUCTS.model, linux.STRUCTS, LAYOUTS)

# fmt: off
GPR_FIELDS = (
    "ax", "cx", "dx", "bx", "sp", "bp", "si", "di",
    "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
)
# fmt: on
"""The fields of sigcontext in the order of the registers' numbers."""

Trap = tuple[int, int, int]
"""Number, error code and address of the thread's last exception."""


def addresses(sp: int, delivery: Delivery, fp_bytes: int) -> tuple[int, int]:
    """Where a frame and its floating-point part go; raises Errno if the stack has no room.

    This is the kernel's get_sigframe().
    """
    stack = delivery.stack
    top = sp - RED_ZONE
    is_nested = bool(stack.size) and stack.holds(sp)
    is_entered = False
    if delivery.action.flags & SA_ONSTACK and stack.size and not stack.holds(top):
        top = stack.base + stack.size
        is_entered = True
    fp = (top - fp_bytes) & -FP_ALIGNMENT
    frame = ((fp - STRUCTS["rt_sigframe"].size) & -FRAME_ALIGNMENT) - 8
    if (is_nested or is_entered) and not stack.base < frame <= stack.base + stack.size:
        raise Errno(errno.EFAULT)
    return frame, fp


def push(
    registers: Registers, delivery: Delivery, fp: bytes, has_xsave: bool, trap: Trap
) -> tuple[int, bytes, Registers]:
    """The frame of a handler: its address, its bytes, and the registers to start with."""
    if not delivery.action.flags & SA_RESTORER:
        raise Errno(errno.EFAULT)
    frame, fp_at = addresses(registers.gpr[SP], delivery, len(fp))
    layout = STRUCTS["rt_sigframe"]
    info = pack(delivery.info, structs.STRUCTS.model)
    values = {
        "pretcode": delivery.action.restorer,
        "uc.uc_flags": UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS | (UC_FP_XSTATE if has_xsave else 0),
        "uc.uc_stack.ss_sp": delivery.stack.base,
        "uc.uc_stack.ss_flags": delivery.stack.flags_at(registers.gpr[SP]),
        "uc.uc_stack.ss_size": delivery.stack.size,
        "uc.uc_sigmask": delivery.mask,
        "info": info if delivery.action.flags & SA_SIGINFO else b"",
        **machine_context(registers, trap, delivery.mask, fp_at),
    }
    data = layout.make(**values).ljust(fp_at - frame, b"\0") + fp
    offset = layout.offset("uc.uc_flags")
    gpr = list(registers.gpr)
    gpr[AX], gpr[SP], gpr[DI] = 0, frame, delivery.info.signo
    gpr[SI], gpr[DX] = frame + layout.offset("info"), frame + offset
    segments = list(registers.segments)
    segments[CS], segments[SS] = USER_CS_64, USER_DS
    flags = registers.flags & ~CLEARED_FOR_HANDLERS
    return frame, data, Registers(gpr, delivery.action.handler, flags, segments)


def machine_context(registers: Registers, trap: Trap, mask: int, fp: int) -> dict[str, int]:
    """The fields of the sigcontext inside a rt_sigframe."""
    prefix = "uc.uc_mcontext."
    number, error, address = trap
    values = dict(zip(GPR_FIELDS, registers.gpr, strict=True))
    selectors = registers.segments
    values |= {
        "ip": registers.pc, "flags": registers.flags,
        "cs": selectors[CS], "gs": selectors[GS], "fs": selectors[FS], "ss": selectors[SS],
        "err": error, "trapno": number, "cr2": address, "oldmask": mask, "fpstate": fp,
    }  # fmt: skip
    return {prefix + name: value for name, value in values.items()}


def pop(memory: Memory, sp: int, before: Registers) -> tuple[Registers, Context, int]:
    """What rt_sigreturn finds in the frame below sp: registers, mask and stack, the FPU's place.

    `before` has what a frame does not change.
    """
    layout = STRUCTS["ucontext"]
    address = sp - 8 + STRUCTS["rt_sigframe"].offset("uc.uc_flags")
    values = layout.values(memory.read(address, layout.size))
    machine = {
        name.removeprefix("uc_mcontext."): value
        for name, value in values.items()
        if name.startswith("uc_mcontext.")
    }
    registers = replace(
        before,
        gpr=[machine[name] for name in GPR_FIELDS],
        pc=machine["ip"],
        flags=before.flags & ~USER_FLAGS | machine["flags"] & USER_FLAGS,
    )
    stack = AltStack(*(values[f"uc_stack.{name}"] for name in ("ss_sp", "ss_flags", "ss_size")))
    return registers, Context(values["uc_sigmask"], stack), machine["fpstate"]
