"""An i386 program at its start: what its ELF header says and its auxiliary vector tells.

Sources: arch/x86/include/asm/elf.h, fs/compat_binfmt_elf.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from user_mode.abi.i386.fpstate import FSAVE_BYTES
from user_mode.abi.i386.vdso import MACHINE, VDSO, VSYSCALL
from user_mode.abi.x86.fpstate import FXSAVE_BYTES, XSTATE_BYTES
from user_mode.loader import AT_MINSIGSTKSZ, AT_SYSINFO, AT_SYSINFO_EHDR, ProgramAbi

if TYPE_CHECKING:
    from frontends.x86.cpuid import CpuModel

TASK_SIZE = 0xFFFF_E000
"""Where the stack of a 32-bit program ends on a 64-bit kernel."""
_FRAME_BYTES = 732
_PADDING = 15 + 63


def program_abi(model: CpuModel) -> ProgramAbi:
    """Linux on i386 with the processor that CPUID describes."""
    return ProgramAbi(
        machine=MACHINE,
        root_hint="/usr/i686-linux-gnu",
        dynamic_base=0x5655_5000,
        reads_imply_exec=True,
        hwcap=model.leaf(1, 0)[3],
        hwcap2=0,
        platform=b"i686",
        own_auxv=((AT_MINSIGSTKSZ, least_stack("xsave" in model.features)),),
        vdso=VDSO.image,
        vdso_auxv=((AT_SYSINFO, VSYSCALL), (AT_SYSINFO_EHDR, 0)),
    )


def least_stack(has_xsave: bool) -> int:
    """init_sigframe_size(): what the largest signal frame takes."""
    fp = FSAVE_BYTES + (XSTATE_BYTES + 4 if has_xsave else FXSAVE_BYTES)
    return -(-(_FRAME_BYTES + fp + _PADDING) // 16) * 16
