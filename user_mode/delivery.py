"""How a signal reaches a guest thread: default actions, handlers' frames, restarted system calls.

All of this runs in the guest thread's own host thread, between two stretches of guest code.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

from user_mode.errors import Errno
from user_mode.siginfo import SI_KERNEL, SigInfo
from user_mode.signals import (
    ALL,
    CORE,
    OWN,
    SA_NODEFER,
    SA_RESETHAND,
    SA_RESTART,
    SIG_DFL,
    SIG_IGN,
    SS_AUTODISARM,
    UNBLOCKABLE,
    AltStack,
    Delivery,
    SigAction,
    bit,
)

if TYPE_CHECKING:
    from user_mode.process import Thread


def take_signals(thread: Thread) -> None:
    """Deal with the signals in the thread's hand, then go on as the guest's mask says."""
    arrivals = thread.process.arrivals.of(thread)
    for info in arrivals:
        _take(thread, info)
    _take_waiting(thread)
    settle(thread, None)
    if thread.saved_mask is not None:
        thread.blocked, thread.saved_mask = thread.saved_mask, None
    if arrivals:
        thread.process.signals.host.mask(thread.blocked)


def _take(thread: Thread, info: SigInfo) -> None:
    if not bit(info.signo) & thread.blocked:
        deliver(thread, info)
    elif bit(info.signo) & OWN:
        thread.waiting.append(info)
    else:
        thread.process.signals.host.send_back(info)


def _take_waiting(thread: Thread) -> None:
    """Signals that could not wait in the host's kernel, and may be delivered now."""
    ready = [info for info in thread.waiting if not bit(info.signo) & thread.blocked]
    for info in ready:
        thread.waiting.remove(info)
        deliver(thread, info)


def deliver(thread: Thread, info: SigInfo) -> None:
    """Do what the process wants done with a signal that is not blocked."""
    signals = thread.process.signals
    action = signals[info.signo]
    if signals.is_ignored(info.signo):
        return
    if signals.is_fatal(info.signo):
        die(thread, info)
    elif action.handler == SIG_DFL:
        os.kill(os.getpid(), signal.SIGSTOP)
    else:
        settle(thread, action)
        enter_handler(thread, info, action)


def force(thread: Thread, info: SigInfo) -> None:
    """Deliver what the thread's own instruction caused: it cannot be ignored or put off."""
    action = thread.process.signals[info.signo]
    if action.handler in (SIG_DFL, SIG_IGN) or bit(info.signo) & thread.blocked:
        die(thread, info)
    enter_handler(thread, info, action)


def enter_handler(thread: Thread, info: SigInfo, action: SigAction) -> None:
    """Have the guest go on in its handler."""
    _note(thread, info, "handled")
    mask = thread.blocked if thread.saved_mask is None else thread.saved_mask
    try:
        thread.process.abi.push_frame(thread, Delivery(info, action, mask, thread.altstack))
    except Errno:
        _no_room(thread, info)
        return
    thread.saved_mask = None
    if thread.altstack.flags & SS_AUTODISARM:
        thread.altstack = AltStack()
    if action.flags & SA_RESETHAND:
        thread.process.signals[info.signo] = SigAction()
    own = 0 if action.flags & SA_NODEFER else bit(info.signo)
    thread.set_blocked(thread.blocked | action.mask | own)


def _no_room(thread: Thread, info: SigInfo) -> None:
    """The stack takes no frame: the kernel's force_sigsegv()."""
    if info.signo == signal.SIGSEGV:
        thread.process.signals[info.signo] = SigAction()
    force(thread, SigInfo(signal.SIGSEGV, SI_KERNEL))


def settle(thread: Thread, action: SigAction | None) -> None:
    """Decide about an interrupted system call: it has failed with EINTR, or it begins again.

    `action` is that of the handler which will run first, None if none will.
    """
    interrupted, is_unbegun = thread.interrupted, thread.is_unbegun
    thread.interrupted, thread.is_unbegun = None, False
    if interrupted is None:
        return
    by_flag = action is None or (interrupted.restarts and bool(action.flags & SA_RESTART))
    if is_unbegun or by_flag:
        thread.process.abi.restart_syscall(thread.cpu, interrupted.overwritten)


def pop_frame(thread: Thread, is_rt: bool) -> None:
    """sigreturn(2): back to what the frame says, which the handler may have changed."""
    try:
        context = thread.process.abi.pop_frame(thread, is_rt)
    except Errno:
        force(thread, SigInfo(signal.SIGSEGV, SI_KERNEL))
        return
    if context.stack is not None:
        thread.altstack = context.stack
    thread.set_blocked(context.mask & ALL & ~UNBLOCKABLE)


def _note(thread: Thread, info: SigInfo, fate: str) -> None:
    """What `-d int` shows of a signal."""
    log = thread.process.log
    if log.wants("int"):
        pc = thread.cpu.pc
        name = signal.strsignal(info.signo) or "real-time"
        facts = f"signal {info.signo} ({name}) {fate}, code {info.code}, address {info.address:#x}"
        log.write("int", f"int: {facts}, at pc {pc:#010x}, thread {thread.tid}\n", pc)


def die(thread: Thread, info: SigInfo) -> None:
    """End the process by a signal, as its parent will see it."""
    _note(thread, info, "deadly")
    process = thread.process
    if bit(info.signo) & CORE:
        name = signal.strsignal(info.signo)
        # Word for word what QEMU says: scripts look for it.
        text = f"qemu: uncaught target signal {info.signo} ({name}) - core dumped\n"
        sys.stderr.write(text)
        sys.stderr.flush()
    process.before_end()
    process.signals.host.die_of(info.signo)
