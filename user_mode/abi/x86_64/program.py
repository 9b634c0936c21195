"""An x86-64 program at its start: what its ELF header says and its auxiliary vector tells.

Sources: arch/x86/include/asm/elf.h, arch/x86/kernel/signal.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from user_mode.abi.x86.fpstate import FXSAVE_BYTES, XSTATE_BYTES
from user_mode.abi.x86_64.vdso import VDSO
from user_mode.elf import Machine
from user_mode.loader import AT_MINSIGSTKSZ, AT_SYSINFO_EHDR, ProgramAbi

if TYPE_CHECKING:
    from frontends.x86.cpuid import CpuModel

EM_X86_64 = 62
ADDRESSES = 1 << 46
"""What guest addresses can reach."""
TASK_SIZE = ADDRESSES - (1 << 16)
"""Linux has 2^47 less a page; half of that can be reserved in a host process."""
DYNAMIC_BASE = TASK_SIZE // 3 * 2 & -4096
"""ELF_ET_DYN_BASE"""

HWCAP2_FSGSBASE = 2
_FRAME_BYTES = 440
_PADDING = 15 + 63


def program_abi(model: CpuModel) -> ProgramAbi:
    """Linux on x86-64 with the processor that CPUID describes."""
    return ProgramAbi(
        machine=Machine(EM_X86_64, 64, "little"),
        root_hint="/usr/x86_64-linux-gnu",
        dynamic_base=DYNAMIC_BASE,
        reads_imply_exec=False,
        hwcap=model.leaf(1, 0)[3],
        hwcap2=HWCAP2_FSGSBASE if "fsgsbase" in model.features else 0,
        platform=b"x86_64",
        own_auxv=((AT_MINSIGSTKSZ, least_stack("xsave" in model.features)),),
        vdso=VDSO.image,
        vdso_auxv=((AT_SYSINFO_EHDR, 0),),
    )


def least_stack(has_xsave: bool) -> int:
    """init_sigframe_size(): what the largest signal frame takes."""
    fp = XSTATE_BYTES + 4 if has_xsave else FXSAVE_BYTES
    return -(-(_FRAME_BYTES + fp + _PADDING) // 16) * 16
