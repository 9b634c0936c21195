"""Signals: what a process does with each, which wait, and how one reaches a guest's handler.

The host's kernel does the bookkeeping.  A guest's dispositions are the host's (caught signals run
the native runtime's `on_signal`, which only notes them), and a guest thread's mask is its host
thread's.  So pending and blocked signals, sigtimedwait, signalfd, ppoll's mask, inheritance over
fork and exec need nothing of us.  What is left:

* `on_signal` blocks everything on its way out: a thread has one signal in hand at most.  It is
  taken up at the next event exit or after the interrupted system call, when the guest's registers
  are exact.
* A signal that the guest blocked in between goes back to the kernel, to wait there.
* SIGSEGV and SIGBUS are the emulator's own and never blocked on the host.  Sent by kill(2) while
  the guest blocks them, they wait in `Thread.waiting`.
* The handful of signals that QEMU names before it dies of them are caught too (`CORE`).
"""

from __future__ import annotations

import signal
from dataclasses import dataclass

from user_mode.siginfo import SigInfo

SIG_DFL, SIG_IGN = 0, 1
SIG_BLOCK, SIG_UNBLOCK, SIG_SETMASK = 0, 1, 2

SA_NOCLDSTOP = 0x0000_0001
SA_NOCLDWAIT = 0x0000_0002
SA_SIGINFO = 0x0000_0004
SA_ONSTACK = 0x0800_0000
SA_RESTART = 0x1000_0000
SA_NODEFER = 0x4000_0000
SA_RESETHAND = 0x8000_0000

SS_ONSTACK, SS_DISABLE, SS_AUTODISARM = 1, 2, 1 << 31

COUNT = 64
ALL = (1 << COUNT) - 1


def bit(signo: int) -> int:
    """The signal's bit in a mask."""
    return 1 << (signo - 1)


def mask_of(*signals: int) -> int:
    """The mask with just these signals."""
    return sum(bit(signo) for signo in signals)


UNBLOCKABLE = mask_of(signal.SIGKILL, signal.SIGSTOP)
OWN = mask_of(signal.SIGSEGV, signal.SIGBUS)
"""The emulator's: memory faults of guest code arrive as these."""
CORE = mask_of(
    signal.SIGQUIT,
    signal.SIGILL,
    signal.SIGTRAP,
    signal.SIGABRT,
    signal.SIGBUS,
    signal.SIGFPE,
    signal.SIGSEGV,
)
"""Deadly signals that are announced on stderr, as QEMU does."""
IGNORED = mask_of(signal.SIGCHLD, signal.SIGURG, signal.SIGWINCH, signal.SIGCONT)
"""Default action: nothing."""
STOPPING = mask_of(signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)


@dataclass(frozen=True, slots=True)
class SigAction:
    """struct sigaction."""

    handler: int = SIG_DFL
    flags: int = 0
    mask: int = 0
    restorer: int = 0


@dataclass(frozen=True, slots=True)
class AltStack:
    """stack_t: where handlers with SA_ONSTACK run."""

    base: int = 0
    flags: int = SS_DISABLE
    size: int = 0

    def holds(self, sp: int) -> bool:
        """The kernel's on_sig_stack()."""
        return not self.flags & SS_AUTODISARM and self.base < sp <= self.base + self.size

    def flags_at(self, sp: int) -> int:
        """ss_flags as sigaltstack(2) reports them with this stack pointer."""
        if not self.size:
            return SS_DISABLE
        return (SS_ONSTACK if self.holds(sp) else 0) | self.flags & SS_AUTODISARM


@dataclass(frozen=True, slots=True)
class Delivery:
    """A signal on its way to a handler; `mask` and `stack` are what sigreturn brings back."""

    info: SigInfo
    action: SigAction
    mask: int
    stack: AltStack

    def frame_address(self, sp: int, size: int, align: int) -> int:
        """Where a frame of `size` bytes goes: below sp, or on the alternate stack."""
        top = sp
        if self.action.flags & SA_ONSTACK and self.stack.size and not self.stack.holds(sp):
            top = self.stack.base + self.stack.size
        return (top - size) & -align


@dataclass(frozen=True, slots=True)
class Context:
    """What sigreturn restores beside the registers; an old frame has no stack."""

    mask: int
    stack: AltStack | None
