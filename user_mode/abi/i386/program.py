"""An i386 program at its start: what its ELF header says and its auxiliary vector tells.

Sources: arch/x86/include/asm/elf.h, fs/compat_binfmt_elf.c.
"""

from __future__ import annotations

from user_mode.abi.i386.vdso import MACHINE, VDSO, VSYSCALL
from user_mode.loader import AT_SYSINFO, AT_SYSINFO_EHDR, ProgramAbi

TASK_SIZE = 0xFFFF_E000
"""Where the stack of a 32-bit program ends on a 64-bit kernel."""


def program_abi(hwcap: int) -> ProgramAbi:
    """Linux on i386; `hwcap` is EDX of CPUID's leaf 1."""
    return ProgramAbi(
        machine=MACHINE,
        root_hint="/usr/i686-linux-gnu",
        dynamic_base=0x5655_5000,
        reads_imply_exec=True,
        hwcap=hwcap,
        hwcap2=0,
        platform=b"i686",
        vdso=VDSO.image,
        vdso_auxv=((AT_SYSINFO, VSYSCALL), (AT_SYSINFO_EHDR, 0)),
    )
