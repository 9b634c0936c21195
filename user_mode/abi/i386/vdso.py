"""The vDSO of i386 programs: how they enter the kernel, and what signal handlers return to.

`__kernel_vsyscall` is the plain `int 0x80` that it also is on processors without SYSENTER.  A
program that executes SYSENTER all the same goes on behind the second `int 0x80`, where the kernel's
own stub has its landing pad: it expects EBP, EDX and ECX on the stack.

The clocks are read without the kernel's help (see clocks.py); `CLOCKS` is vdso.s, assembled.

Unwinders and debuggers know the two ways back by their bytes.  Source:
arch/x86/entry/vdso/vdso32/{system_call,sigreturn}.S.
"""

from __future__ import annotations

from user_mode.abi.x86.shared_object import shared_object
from user_mode.elf import Machine

MACHINE = Machine(3, 32, "little")
"""EM_386."""

NR_SIGRETURN = 119
NR_RT_SIGRETURN = 173

INT80 = b"\xcd\x80"
SIGRETURN = b"\x58\xb8" + NR_SIGRETURN.to_bytes(4, "little") + INT80
"""`pop eax; mov eax, 119; int 0x80`: the handler's argument is still on the stack."""
RT_SIGRETURN = b"\xb8" + NR_RT_SIGRETURN.to_bytes(4, "little") + INT80

CLOCKS = bytes.fromhex(
    """
83f801772689c10f31e302f8c33b8308e8ffff89d11b8b0ce8ffff730e038300e8ffff139304e8fffff8c3f9c38d7600
53e8000000005b81eb360000008b442408e8baffffff7214b900ca9a3bf7f18b4c240c890189510431c05bc38b5c2408
8b4c240cb809010000cd805bc38d760053e8000000005b81eb760000008b442408e87affffff721ab900ca9a3bf7f18b
4c240c890189510831c089410489410c5bc38b5c24088b4c240cb893010000cd805bc38db426000000008db600000000
53e8000000005b81ebc6000000837c240c00752f837c240800742831c0e81effffff721fb900ca9a3bf7f18b5c240889
0389d031d2b9e8030000f7f189430431c05bc38b5c24088b4c240cb84e000000cd805bc38db426000000008d74260090
53e8000000005b81eb2601000031c0e8ccfeffff7211b900ca9a3bf7f18b4c2408e30289015bc38b5c2408b80d000000
cd805bc3
"""
)
CLOCKS_AT = {
    "__vdso_clock_gettime": 0x30,
    "__vdso_clock_gettime64": 0x70,
    "__vdso_gettimeofday": 0xC0,
    "__vdso_time": 0x120,
}
_PARTS = {
    "__kernel_vsyscall": INT80 + b"\xc3",
    "sysenter": INT80,
    "landing_pad": b"\x5d\x5a\x59\xc3",
    "__kernel_sigreturn": SIGRETURN,
    "__kernel_rt_sigreturn": RT_SIGRETURN,
}
"""Pieces of code in a row; a `nop` is put before those that others jump to, as unwinders look up
the address before a return address."""


def _laid_out() -> tuple[bytes, dict[str, int]]:
    code, places = CLOCKS, dict(CLOCKS_AT)
    for name, part in _PARTS.items():
        if name.startswith("__"):
            code = code.ljust(-(-(len(code) + 1) // 16) * 16, b"\x90")
        places[name] = len(code)
        code += part
    return code, places


_CODE, _PLACES = _laid_out()
VDSO = shared_object(
    MACHINE,
    "linux-gate.so.1",
    "LINUX_2.6",
    _CODE,
    {name: at for name, at in _PLACES.items() if name.startswith("__")},
)
VSYSCALL = VDSO.symbols["__kernel_vsyscall"]
SIGRETURN_AT = VDSO.symbols["__kernel_sigreturn"]
RT_SIGRETURN_AT = VDSO.symbols["__kernel_rt_sigreturn"]
LANDING_PAD = VSYSCALL - _PLACES["__kernel_vsyscall"] + _PLACES["landing_pad"]
"""Where a program goes on after SYSENTER."""
