"""Numbers, structures and signal frames against the cross compiler's own headers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.user_mode.i386.headers import answers, needs_compiler
from user_mode.abi.i386 import sigframe
from user_mode.abi.i386.numbers import NUMBERS
from user_mode.abi.i386.structs import STRUCTS
from user_mode.abi.layout import Layout
from user_mode.siginfo import MEMBERS, SigInfo, pack

NAMES = Path("/usr/i686-linux-gnu/include/asm/unistd_32.h")
OWN_NAMES = re.compile(r"(\w+)16|old_(\w+)|x86_(\w+)")
"""What the table calls the older of two calls that share a name."""


@pytest.mark.skipif(not NAMES.exists(), reason="needs the headers of i686-linux-gnu")
def test_numbers_are_those_of_the_headers() -> None:
    found = re.findall(r"#define __NR_(\w+) (\d+)", NAMES.read_text())
    theirs = {int(number): name for name, number in found}
    ours = {number: NUMBERS[number] for number in theirs}
    for number, name in ours.items():
        if name != theirs[number] and (match := OWN_NAMES.fullmatch(name)):
            ours[number] = next(filter(None, match.groups()))
    assert ours == theirs
    assert all(number > max(theirs) for number in NUMBERS.keys() - theirs.keys())


KERNEL = r"""
#include <stddef.h>
#include <asm/stat.h>
#include <asm/statfs.h>
#include <asm/shmbuf.h>
#include <asm/sembuf.h>
#include <asm/msgbuf.h>
#include <asm/ldt.h>
#include <asm/posix_types.h>
#include <linux/fcntl.h>
#include <linux/eventpoll.h>
#include <linux/time_types.h>
#include <linux/resource.h>
"""

SAME_NAMES = {
    "stat": "struct stat", "stat64": "struct stat64", "statfs": "struct statfs",
    "statfs64": "struct statfs64", "shmid64_ds": "struct shmid64_ds",
    "semid64_ds": "struct semid64_ds", "msqid64_ds": "struct msqid64_ds",
    "flock": "struct flock", "flock64": "struct flock64", "epoll_event": "struct epoll_event",
    "rusage": "struct rusage", "rlimit64": "struct rlimit64", "user_desc": "struct user_desc",
    "timespec64": "struct __kernel_timespec",
}  # fmt: skip
OTHER_FIELDS = {"epoll_event.events", "user_desc.flags", "ipc64_perm"}


def members(layout: Layout) -> list[str]:
    """The fields that C can name: no elements, nor what the kernel only keeps room for."""
    plain = [field.name for field in layout if "." not in field.name]
    return [name for name in plain if "unused" not in name and "spare" not in name]


@needs_compiler
def test_structures_lie_as_the_headers_say(tmp_path: Path) -> None:
    wanted: dict[str, int] = {}
    for name, type_ in SAME_NAMES.items():
        layout = STRUCTS[name]
        wanted[f"sizeof({type_})"] = layout.size
        for field in members(layout):
            if f"{name}.{field}" not in OTHER_FIELDS:
                wanted[f"offsetof({type_}, {field})"] = layout.offset(field)
    theirs = answers(KERNEL, list(wanted), tmp_path)
    assert dict(zip(wanted, theirs, strict=True)) == wanted


FRAMES = r"""
#include <stddef.h>
#include <linux/signal.h>
#include <asm/sigcontext.h>
#include <asm/ucontext.h>
#include <asm/siginfo.h>
struct sigframe { char *pretcode; int sig; struct sigcontext_32 sc;
                  struct _fpstate_32 fpstate_unused;
                  unsigned long extramask; char retcode[8]; };
struct rt_sigframe { char *pretcode; int sig; void *pinfo, *puc; siginfo_t info;
                     struct { unsigned long uc_flags; void *uc_link; stack_t uc_stack;
                              struct sigcontext_32 uc_mcontext; unsigned long uc_sigmask[2]; } uc;
                     char retcode[8]; };
"""
"""The kernel's own; what programs see of sigset_t in these headers is half of it."""

FRAME_PLACES = {
    "struct sigframe": ("sigframe", {"sc": "sc.gs", "fpstate_unused": "fpstate_unused",
                                     "extramask": "extramask", "retcode": "retcode"}),
    "struct rt_sigframe": ("rt_sigframe", {
        "pinfo": "pinfo", "puc": "puc", "info": "info", "uc": "uc.uc_flags",
        "uc.uc_stack.ss_size": "uc.uc_stack.ss_size", "uc.uc_mcontext": "uc.uc_mcontext.gs",
        "uc.uc_sigmask": "uc.uc_sigmask.0", "retcode": "retcode"}),
    "struct sigcontext_32": ("sigcontext", {
        name: name for name in ("gs", "fs", "es", "ds", "di", "si", "bp", "sp", "bx", "dx", "cx",
                                "ax", "trapno", "err", "ip", "cs", "flags", "sp_at_signal", "ss",
                                "fpstate", "oldmask", "cr2")}),
}  # fmt: skip


@needs_compiler
def test_frames_lie_as_the_headers_say(tmp_path: Path) -> None:
    wanted: dict[str, int] = {"offsetof(struct _fpstate_32, _fxsr_env)": sigframe.FSAVE_BYTES}
    for type_, (name, places) in FRAME_PLACES.items():
        layout = sigframe.STRUCTS[name]
        wanted[f"sizeof({type_})"] = layout.size
        for theirs, ours in places.items():
            wanted[f"offsetof({type_}, {theirs})"] = layout.offset(ours)
    found = answers(FRAMES, list(wanted), tmp_path)
    assert dict(zip(wanted, found, strict=True)) == wanted


SIGINFO_FIELDS = {
    "pid": "si_pid", "uid": "si_uid", "status": "si_status", "utime": "si_utime",
    "stime": "si_stime", "value": "si_ptr", "timer_id": "si_tid", "overrun": "si_overrun",
    "address": "si_addr", "band": "si_band", "fd": "si_fd",
}  # fmt: skip
EXAMPLES = {
    "kill": (10, 0), "timer": (14, -2), "queue": (34, -1), "child": (17, 1), "fault": (11, 1),
    "poll": (29, 1),
}  # fmt: skip


@needs_compiler
def test_siginfo_members_lie_as_the_headers_say(tmp_path: Path) -> None:
    cases = [
        (kind, name, SIGINFO_FIELDS[name])
        for kind in EXAMPLES
        for name, _ in MEMBERS[kind]  # type: ignore[index]
    ]
    theirs = answers(FRAMES, [f"offsetof(siginfo_t, {field})" for *_, field in cases], tmp_path)
    ours = []
    for kind, name, _ in cases:
        signo, code = EXAMPLES[kind]
        marked = pack(SigInfo(signo, code, **{name: 0x5A5A5A5A}), sigframe.MODEL)
        ours.append(marked.index(b"\x5a" * 4))
    assert ours == theirs
