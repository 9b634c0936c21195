"""The vDSO of x86-64 programs: clocks that are read without a system call.

`CODE` is vdso.s, assembled.  What it reads lies in the page before it; see clocks.py.  Source:
arch/x86/entry/vdso/vclock_gettime.c, vdso.lds.S.
"""

from __future__ import annotations

from user_mode.abi.x86.shared_object import shared_object
from user_mode.elf import Machine

CODE = bytes.fromhex(
    """
83ff0177310f3148c1e2204809d085ff7510483b05efe7ffff731b480305dee7ffff31d2b900ca9a3b48f7f148890648
89560831c0c3b8e40000000f05c366904885f6753d4885ff74380f3148c1e2204809d0483b05aee7ffff73264803059d
e7ffff31d2b900ca9a3b48f7f148890789d031d2b9e8030000f7f14889470831c0c3b8600000000f05c3660f1f440000
0f3148c1e2204809d0483b0568e7ffff731a48030557e7ffff31d2b900ca9a3b48f7f14885ff7403488907c3b8c90000
000f05c366662e0f1f84000000000090b8350100000f05c30f1f840000000000b8e50000000f05c3
"""
)
PLACES = {
    "clock_gettime": 0,
    "gettimeofday": 0x40,
    "time": 0x90,
    "getcpu": 0xD0,
    "clock_getres": 0xE0,
}

VDSO = shared_object(
    Machine(62, 64, "little"),
    "linux-vdso.so.1",
    "LINUX_2.6",
    CODE,
    {prefix + name: at for prefix in ("__vdso_", "") for name, at in PLACES.items()},
)
