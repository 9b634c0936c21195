"""Signal frames of Linux on 32-bit PowerPC: what the kernel pushes for a handler and pops after it.

Two kinds: `rt_sigframe` for handlers installed with SA_SIGINFO, `sigframe` for the others.  From
low to high addresses:

    r1 -> back chain to the interrupted r1, and room for the handler's linkage area
          rt_sigframe: siginfo, ucontext (mask, alternate stack, registers)
          sigframe:    sigcontext (mask, pointer to the registers), registers
          abigap: what the XCOFF ABI lets a leaf function keep below r1

A handler returns through LR to a trampoline (`li r0, number; sc`).  Old kernels put it in the
frame, in mc_pad; newer ones keep it in the vDSO, as stacks are not executable.  Here it is in both
places and LR points at the latter.  Unwinders know a frame by the two instructions at its return
address.

Source: arch/powerpc/kernel/signal_32.c,
arch/powerpc/include/uapi/asm/{ucontext,sigcontext,ptrace}.h. Not modelled: AltiVec and SPE
registers (their room is kept, their MSR bits stay clear).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import Protocol

from user_mode.abi import linux
from user_mode.abi.layout import Structs
from user_mode.abi.ppc import structs
from user_mode.abi.ppc.registers import Registers
from user_mode.siginfo import pack
from user_mode.signals import AltStack, Context, Delivery

MODEL = structs.STRUCTS.model

LAYOUTS = """
mcontext    u32 mc_gregs[48], u64 mc_fregs[33], u32 mc_pad[2], char mc_vregs[528]
ucontext    ulong uc_flags, ptr uc_link, altstack uc_stack, int uc_pad[7], ptr uc_regs,
            u32 uc_sigmask[2], int uc_maskext[30], int uc_pad2[3], mcontext uc_mcontext
rt_sigframe char info[128], ucontext uc, char abigap[224]
sigcontext  u32 _unused[4], int signal, ptr handler, ulong oldmask, ptr regs
sigframe    sigcontext sctx, mcontext mctx, char abigap[224]
"""

STRUCTS = Structs(MODEL, linux.STRUCTS, LAYOUTS)

NR_SIGRETURN = 119
NR_RT_SIGRETURN = 172

SIGNAL_FRAMESIZE = 64
"""The linkage area under a sigframe; a rt_sigframe has 16 bytes more."""

# Places in mc_gregs: struct pt_regs.
PT_NIP, PT_MSR, PT_ORIG_R3, PT_CTR, PT_LNK, PT_XER, PT_CCR = range(32, 39)
PT_TRAP, PT_DAR, PT_DSISR = range(40, 43)

USER_MSR = 0x0000_D032
"""EE PR ME IR DR RI: the machine state of a user process."""


def trampoline(number: int) -> bytes:
    """The code `li r0, number; sc`."""
    return struct.pack(">II", 0x3800_0000 | number, 0x4400_0002)


TRAMPOLINES = trampoline(NR_SIGRETURN) + trampoline(NR_RT_SIGRETURN)
"""The code of the page that LR points into, first for sigframe, then for rt_sigframe."""


@dataclass(frozen=True, slots=True)
class Cause:
    """What the frame tells of the interruption besides the registers."""

    trap: int = 0x900
    """The vector: 0x300 data access, 0x400 fetch, 0x700 program, 0x900 timer, 0xc00 sc."""
    address: int = 0
    status: int = 0


class Memory(Protocol):
    """The one thing that is asked of guest memory here."""

    def read(self, address: int, size: int, /) -> bytes:
        """Raises Errno(EFAULT)."""


def _split(mask: int) -> tuple[int, int]:
    return mask & 0xFFFF_FFFF, mask >> 32


def _joined(low: int, high: int) -> int:
    return low | high << 32


def machine_context(registers: Registers, number: int, cause: Cause) -> bytes:
    """A struct mcontext: the registers and the old trampoline."""
    gregs = [*registers.gpr, *[0] * 16]
    gregs[PT_NIP] = registers.pc
    gregs[PT_MSR] = USER_MSR
    gregs[PT_ORIG_R3] = registers.gpr[3]
    gregs[PT_CTR] = registers.ctr
    gregs[PT_LNK] = registers.lr
    gregs[PT_XER] = registers.xer
    gregs[PT_CCR] = registers.cr
    gregs[PT_TRAP] = cause.trap
    gregs[PT_DAR] = cause.address
    gregs[PT_DSISR] = cause.status
    pad = struct.unpack(">II", trampoline(number))
    return STRUCTS["mcontext"].wrap([*gregs, *registers.fpr, registers.fpscr, *pad, b""])


def restored(raw: bytes) -> Registers:
    """The registers of a struct mcontext.  The MSR is the kernel's business and not read."""
    values = STRUCTS["mcontext"].unpack(raw)
    gregs, fregs = [value & 0xFFFF_FFFF for value in values[:48]], values[48:81]
    return Registers(
        gpr=gregs[:32],
        fpr=list(fregs[:32]),
        fpscr=fregs[32] & 0xFFFF_FFFF,
        pc=gregs[PT_NIP] & ~3,
        ctr=gregs[PT_CTR],
        lr=gregs[PT_LNK],
        xer=gregs[PT_XER],
        cr=gregs[PT_CCR],
    )


def push_rt(
    registers: Registers, delivery: Delivery, page: int, cause: Cause
) -> tuple[int, bytes, Registers]:
    """The rt_sigframe of a handler: its address, its bytes, and the registers to start with.

    `page` is where TRAMPOLINES are; the bytes begin with the linkage area, at the new r1.
    """
    layout = STRUCTS["rt_sigframe"]
    frame = delivery.frame_address(registers.gpr[1], layout.size, 16)
    context = frame + layout.offset("uc.uc_flags")
    machine = STRUCTS["ucontext"].offset("uc_mcontext.mc_gregs.0")
    low, high = _split(delivery.mask)
    head = STRUCTS["ucontext"].make(
        **{
            "uc_stack.ss_sp": delivery.stack.base,
            "uc_stack.ss_flags": delivery.stack.flags_at(registers.gpr[1]),
            "uc_stack.ss_size": delivery.stack.size,
            "uc_regs": context + machine,
            "uc_sigmask.0": low,
            "uc_sigmask.1": high,
        }
    )[:machine]
    body = pack(delivery.info, MODEL) + head + machine_context(registers, NR_RT_SIGRETURN, cause)
    sp = frame - SIGNAL_FRAMESIZE - 16
    linkage = struct.pack(">I", registers.gpr[1]).ljust(SIGNAL_FRAMESIZE + 16, b"\0")
    start = _started(registers, delivery, sp, page + len(TRAMPOLINES) // 2)
    start.gpr[4:7] = [frame, context, frame]
    return sp, linkage + body, start


def push_old(
    registers: Registers, delivery: Delivery, page: int, cause: Cause
) -> tuple[int, bytes, Registers]:
    """The sigframe of a handler without SA_SIGINFO; like `push_rt`."""
    layout = STRUCTS["sigframe"]
    frame = delivery.frame_address(registers.gpr[1], layout.size, 16)
    low, high = _split(delivery.mask)
    context = STRUCTS["sigcontext"].make(
        **{
            "_unused.3": high,
            "signal": delivery.info.signo,
            "handler": delivery.action.handler,
            "oldmask": low,
            "regs": frame + STRUCTS["sigcontext"].size,
        }
    )
    sp = frame - SIGNAL_FRAMESIZE
    linkage = struct.pack(">I", registers.gpr[1]).ljust(SIGNAL_FRAMESIZE, b"\0")
    start = _started(registers, delivery, sp, page)
    start.gpr[4] = frame
    return sp, linkage + context + machine_context(registers, NR_SIGRETURN, cause), start


def _started(registers: Registers, delivery: Delivery, sp: int, lr: int) -> Registers:
    """The registers that a handler starts with; FP exceptions are off."""
    gpr = list(registers.gpr)
    gpr[1], gpr[3] = sp, delivery.info.signo
    return replace(registers, gpr=gpr, pc=delivery.action.handler, lr=lr, fpscr=0)


def pop_rt(memory: Memory, sp: int) -> tuple[Registers, Context]:
    """What rt_sigreturn restores from the frame over `sp`, as the handler left it."""
    layout = STRUCTS["ucontext"]
    address = sp + SIGNAL_FRAMESIZE + 16 + STRUCTS["rt_sigframe"].offset("uc.uc_flags")
    values = layout.values(memory.read(address, layout.size))
    machine = memory.read(values["uc_regs"], STRUCTS["mcontext"].size)
    mask = _joined(values["uc_sigmask.0"], values["uc_sigmask.1"])
    names = ("uc_stack.ss_sp", "uc_stack.ss_flags", "uc_stack.ss_size")
    return restored(machine), Context(mask, AltStack(*(values[name] for name in names)))


def pop_old(memory: Memory, sp: int) -> tuple[Registers, Context]:
    """What sigreturn restores from the frame over `sp`."""
    layout = STRUCTS["sigframe"]
    raw = memory.read(sp + SIGNAL_FRAMESIZE, layout.offset("mctx.mc_vregs"))
    context = STRUCTS["sigcontext"].values(raw[: STRUCTS["sigcontext"].size])
    machine = raw[STRUCTS["sigcontext"].size :].ljust(STRUCTS["mcontext"].size, b"\0")
    return restored(machine), Context(_joined(context["oldmask"], context["_unused.3"]), None)
