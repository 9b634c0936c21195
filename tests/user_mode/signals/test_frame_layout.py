"""The signal frames against the cross compiler's own headers."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from user_mode.abi.ppc import sigframe
from user_mode.siginfo import MEMBERS, SigInfo, pack

COMPILER = shutil.which("powerpc-linux-gnu-gcc")

PROGRAM = r"""
#include <stddef.h>
#include <linux/signal.h>
#include <asm/ptrace.h>
#include <asm/ucontext.h>
#include <asm/sigcontext.h>
#include <asm/siginfo.h>
struct rt_sigframe { siginfo_t info; struct ucontext uc; int abigap[56]; };
struct sigframe { struct sigcontext sctx; struct mcontext mctx; int abigap[56]; };
const unsigned int answers[] = { %s };
"""


def answers(expressions: list[str], directory: Path) -> list[int]:
    """What the cross compiler makes of constant C expressions, read from its object file."""
    from elftools.elf.elffile import ELFFile

    assert COMPILER is not None
    source, target = directory / "a.c", directory / "a.o"
    source.write_text(PROGRAM % ", ".join(expressions))
    subprocess.run([COMPILER, "-c", source, "-o", target], check=True)
    with target.open("rb") as file:
        data = ELFFile(file).get_section_by_name(".rodata").data()
    return [int.from_bytes(data[i : i + 4], "big") for i in range(0, len(expressions) * 4, 4)]


def layout_cases() -> list[tuple[str, int]]:
    """C expressions and what our tables say."""
    frame, old, context = (
        sigframe.STRUCTS[name] for name in ("rt_sigframe", "sigframe", "sigcontext")
    )
    machine = sigframe.STRUCTS["mcontext"]
    places = {
        ("rt_sigframe", "uc.uc_flags"): frame.offset("uc.uc_flags"),
        ("rt_sigframe", "uc.uc_link"): frame.offset("uc.uc_link"),
        ("rt_sigframe", "uc.uc_stack.ss_size"): frame.offset("uc.uc_stack.ss_size"),
        ("rt_sigframe", "uc.uc_regs"): frame.offset("uc.uc_regs"),
        ("rt_sigframe", "uc.uc_sigmask"): frame.offset("uc.uc_sigmask.0"),
        ("rt_sigframe", "uc.uc_mcontext"): frame.offset("uc.uc_mcontext.mc_gregs.0"),
        ("rt_sigframe", "abigap"): frame.offset("abigap"),
        ("sigframe", "mctx"): old.offset("mctx.mc_gregs.0"),
        ("sigframe", "abigap"): old.offset("abigap"),
        ("sigcontext", "signal"): context.offset("signal"),
        ("sigcontext", "handler"): context.offset("handler"),
        ("sigcontext", "oldmask"): context.offset("oldmask"),
        ("sigcontext", "regs"): context.offset("regs"),
        ("mcontext", "mc_fregs"): machine.offset("mc_fregs.0"),
        ("mcontext", "mc_pad"): machine.offset("mc_pad.0"),
        ("mcontext", "mc_vregs"): machine.offset("mc_vregs"),
    }
    sizes = {
        "struct rt_sigframe": frame.size,
        "struct sigframe": old.size,
        "struct mcontext": machine.size,
        "siginfo_t": 128,
    }
    numbers = {
        name: getattr(sigframe, name)
        for name in dir(sigframe)
        if name.startswith("PT_") and name != "PT_SOFTE"
    }
    return [
        *((f"offsetof(struct {s}, {m})", at) for (s, m), at in places.items()),
        *((f"sizeof({name})", size) for name, size in sizes.items()),
        *numbers.items(),
    ]


@pytest.mark.skipif(COMPILER is None, reason="needs powerpc-linux-gnu-gcc")
def test_frames_lie_as_the_headers_say(tmp_path: Path) -> None:
    cases = layout_cases()
    theirs = answers([expression for expression, _ in cases], tmp_path)
    assert dict(zip((e for e, _ in cases), theirs, strict=True)) == dict(cases)


SIGINFO_FIELDS = {
    "pid": "si_pid", "uid": "si_uid", "status": "si_status", "utime": "si_utime",
    "stime": "si_stime", "value": "si_ptr", "timer_id": "si_tid", "overrun": "si_overrun",
    "address": "si_addr", "band": "si_band", "fd": "si_fd",
}  # fmt: skip

EXAMPLES = {
    "kill": (10, 0), "timer": (14, -2), "queue": (34, -1), "child": (17, 1), "fault": (11, 1),
    "poll": (29, 1),
}  # fmt: skip


@pytest.mark.skipif(COMPILER is None, reason="needs powerpc-linux-gnu-gcc")
def test_siginfo_members_lie_as_the_headers_say(tmp_path: Path) -> None:
    cases = [
        (kind, name, SIGINFO_FIELDS[name])
        for kind in EXAMPLES
        for name, _ in MEMBERS[kind]  # type: ignore[index]
    ]
    theirs = answers([f"offsetof(siginfo_t, {field})" for *_, field in cases], tmp_path)
    ours = []
    for kind, name, _ in cases:
        signo, code = EXAMPLES[kind]
        marked = pack(SigInfo(signo, code, **{name: 0x5A5A5A5A}), sigframe.MODEL)
        ours.append(marked.index(b"\x5a" * 4))
    assert ours == theirs
