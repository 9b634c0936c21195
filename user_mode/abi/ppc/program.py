"""A PowerPC program at its start: what its ELF header says and its auxiliary vector tells.

Sources: arch/powerpc/include/asm/elf.h, arch/powerpc/include/uapi/asm/cputable.h.
"""

from __future__ import annotations

from user_mode.elf import Machine
from user_mode.loader import ProgramAbi

EM_PPC = 20
PPC_FEATURE_32, PPC_FEATURE_HAS_FPU, PPC_FEATURE_HAS_MMU = 0x80000000, 0x08000000, 0x04000000

AT_DCACHEBSIZE, AT_ICACHEBSIZE, AT_UCACHEBSIZE, AT_IGNOREPPC = 19, 20, 21, 22


def program_abi(cache_line: int) -> ProgramAbi:
    """Linux on a 32-bit PowerPC 750 whose dcbz clears `cache_line` bytes.

    AT_IGNOREPPC twice is for glibc 2.0 and 2.1, which looked for the vector at an aligned address.
    AltiVec is not claimed: a libc would use it.
    """
    return ProgramAbi(
        machine=Machine(EM_PPC, 32, "big"),
        root_hint="/usr/powerpc-linux-gnu",
        dynamic_base=0x400000,
        reads_imply_exec=True,
        hwcap=PPC_FEATURE_32 | PPC_FEATURE_HAS_FPU | PPC_FEATURE_HAS_MMU,
        hwcap2=0,
        platform=b"ppc750",
        base_platform=b"ppc750",
        own_auxv=(
            (AT_IGNOREPPC, AT_IGNOREPPC),
            (AT_IGNOREPPC, AT_IGNOREPPC),
            (AT_DCACHEBSIZE, cache_line),
            (AT_ICACHEBSIZE, cache_line),
            (AT_UCACHEBSIZE, 0),
        ),
    )
