"""Signals: dispositions, masks, waiting, sending, alternate stacks."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from user_mode import delivery, host
from user_mode.errors import Errno
from user_mode.host import Buffer, Nr
from user_mode.siginfo import HOST, pack, unpack
from user_mode.signals import (
    ALL,
    COUNT,
    OWN,
    SA_NODEFER,
    SA_RESETHAND,
    SIG_BLOCK,
    SIG_SETMASK,
    SIG_UNBLOCK,
    SS_AUTODISARM,
    SS_DISABLE,
    SS_ONSTACK,
    UNBLOCKABLE,
    AltStack,
    SigAction,
    bit,
)
from user_mode.syscalls import guest_memory
from user_mode.syscalls.table import syscall
from user_mode.syscalls.types import Addr, Fd, Int, Pid, Signal, Size, UInt, ULong

if TYPE_CHECKING:
    from user_mode.process import Thread

SIGSET_BYTES = 8
MINSIGSTKSZ = 2048

DIRECT = """\
kill             pid:Pid signal:Signal
tkill            tid:Pid signal:Signal
tgkill           tgid:Pid tid:Pid signal:Signal
"""


# -- dispositions ----------------------------------------------------------------------------------


@syscall
def rt_sigaction(thread: Thread, signo: Signal, new: Addr, old: Addr, size: Size) -> int:
    """rt_sigaction(2)"""
    _check_size(size)
    return _change_action(thread, signo, new, old, "sigaction")


@syscall
def sigaction(thread: Thread, signo: Signal, new: Addr, old: Addr) -> int:
    """The call before the real-time signals: a mask of one word."""
    return _change_action(thread, signo, new, old, "old_sigaction")


@syscall
def signal(thread: Thread, signo: Signal, handler: Addr) -> int:
    """signal(2), the System V call: the handler is for one time and does not block its signal."""
    before = _check_signal(thread, signo, to_change=True)
    _set_action(thread, signo, SigAction(handler, SA_RESETHAND | SA_NODEFER))
    return before.handler


def _change_action(thread: Thread, signo: int, new: int, old: int, name: str) -> int:
    memory, layout = thread.process.memory, thread.process.abi.structs[name]
    before = _check_signal(thread, signo, to_change=bool(new))
    if new:
        values = layout.values(memory.read(new, layout.size))
        mask = mask_of_longs(thread, values["sa_mask"]) & ~UNBLOCKABLE
        handler, flags, restorer = (values[n] for n in ("sa_handler", "sa_flags", "sa_restorer"))
        _set_action(thread, signo, SigAction(handler, flags, mask, restorer))
    if old:
        fields = {
            "sa_handler": before.handler,
            "sa_flags": before.flags,
            "sa_restorer": before.restorer,
            "sa_mask": longs_of_mask(thread, before.mask, layout.fields["sa_mask"].size),
        }
        memory.write(old, layout.make(**fields))
    return 0


def _check_signal(thread: Thread, signo: int, to_change: bool) -> SigAction:
    """The signal's action; raises Errno(EINVAL) if there is none, or it cannot be changed."""
    if not 1 <= signo <= COUNT or (to_change and bit(signo) & UNBLOCKABLE):
        raise Errno(errno.EINVAL)
    return thread.process.signals[signo]


def _set_action(thread: Thread, signo: int, action: SigAction) -> None:
    thread.process.signals[signo] = action
    if thread.process.signals.catches_faults:
        thread.process.engine.set_exact(True)


def mask_of_longs(thread: Thread, data: bytes) -> int:
    """The mask in a sigset_t: an array of longs, the lowest signals in the first."""
    return int.from_bytes(guest_memory.long_words(thread, data, to_host=True), "little")


def longs_of_mask(thread: Thread, mask: int, size: int) -> bytes:
    """A sigset_t of `size` bytes."""
    mask &= (1 << 8 * size) - 1
    return guest_memory.long_words(thread, mask.to_bytes(size, "little"), to_host=False)


def _check_size(size: int) -> None:
    if size != SIGSET_BYTES:
        raise Errno(errno.EINVAL)


# -- masks -----------------------------------------------------------------------------------------


def load_mask(thread: Thread, address: int, size: int = SIGSET_BYTES) -> int:
    """The sigset_t at an address."""
    return mask_of_longs(thread, thread.process.memory.read(address, size))


def store_mask(thread: Thread, address: int, mask: int, size: int = SIGSET_BYTES) -> None:
    """Store a sigset_t."""
    thread.process.memory.write(address, longs_of_mask(thread, mask, size))


def _changed(mask: int, how: int, change: int) -> int:
    match how:
        case _ if how == SIG_BLOCK:
            return mask | change
        case _ if how == SIG_UNBLOCK:
            return mask & ~change
        case _ if how == SIG_SETMASK:
            return change
    raise Errno(errno.EINVAL)


@syscall
def rt_sigprocmask(thread: Thread, how: Int, new: Addr, old: Addr, size: Size) -> int:
    """rt_sigprocmask(2)"""
    _check_size(size)
    before = thread.blocked
    if new:
        thread.set_blocked(_changed(before, how, load_mask(thread, new)))
    if old:
        store_mask(thread, old, before)
    return 0


@syscall
def sigprocmask(thread: Thread, how: Int, new: Addr, old: Addr) -> int:
    """The call before the real-time signals: a mask of one word."""
    size, before = thread.process.abi.long_size, thread.blocked
    rest = before >> 8 * size << 8 * size
    if new:
        thread.set_blocked(rest | _changed(before, how, load_mask(thread, new, size) | rest))
    if old:
        store_mask(thread, old, before, size)
    return 0


@syscall
def rt_sigpending(thread: Thread, mask: Addr, size: Size) -> int:
    """rt_sigpending(2)"""
    if size > SIGSET_BYTES:
        raise Errno(errno.EINVAL)
    store_mask(thread, mask, thread.pending)
    return 0


@syscall
def sigpending(thread: Thread, mask: Addr) -> int:
    """The call before the real-time signals."""
    store_mask(thread, mask, thread.pending, thread.process.abi.long_size)
    return 0


# -- waiting ---------------------------------------------------------------------------------------


@syscall(restarts=False)
def rt_sigsuspend(thread: Thread, mask: Addr, size: Size) -> int:
    """rt_sigsuspend(2)"""
    _check_size(size)
    return _suspend(thread, load_mask(thread, mask))


@syscall(restarts=False)
def sigsuspend(thread: Thread, _unused1: Int, _unused2: Int, mask: ULong) -> int:
    """The call before the real-time signals: the mask is the third argument itself."""
    return _suspend(thread, mask)


def _suspend(thread: Thread, mask: int) -> int:
    thread.wait_with_mask(mask)
    words = Buffer((mask & ~OWN & ALL).to_bytes(SIGSET_BYTES, "little"))
    return host.blocking(thread, Nr.rt_sigsuspend, words.address, SIGSET_BYTES)


@syscall(restarts=False)
def pause(thread: Thread) -> int:
    """pause(2)"""
    return host.blocking(thread, Nr.pause)


@syscall(restarts=False)
def rt_sigtimedwait(thread: Thread, mask: Addr, info: Addr, timeout: Addr, size: Size) -> int:
    """rt_sigtimedwait(2)"""
    return _wait_for(
        thread, mask, info, size, guest_memory.time_buffer(thread, timeout, "timespec")
    )


@syscall(restarts=False)
def rt_sigtimedwait_time64(
    thread: Thread, mask: Addr, info: Addr, timeout: Addr, size: Size
) -> int:
    """rt_sigtimedwait(2) with 64-bit times"""
    wait = guest_memory.time_buffer(thread, timeout, "timespec64")
    return _wait_for(thread, mask, info, size, wait)


def _wait_for(thread: Thread, mask: int, info: int, size: int, timeout: Buffer | None) -> int:
    _check_size(size)
    wanted = load_mask(thread, mask) & ~UNBLOCKABLE
    for one in thread.waiting:
        if bit(one.signo) & wanted:
            thread.waiting.remove(one)
            _store_info(thread, info, pack(one, HOST))
            return one.signo
    words, found = Buffer(wanted.to_bytes(SIGSET_BYTES, "little")), Buffer(128)
    until = guest_memory.address_of(timeout)
    signo = host.blocking(
        thread, Nr.rt_sigtimedwait, words.address, found.address, until, SIGSET_BYTES
    )
    _store_info(thread, info, found.raw)
    return signo


def _store_info(thread: Thread, address: int, raw: bytes) -> None:
    """Store the host's siginfo_t as the guest's; NULL for nowhere."""
    if address:
        model = thread.process.abi.structs.model
        thread.process.memory.write(address, pack(unpack(raw, HOST), model))


# -- sending ---------------------------------------------------------------------------------------


def _load_info(thread: Thread, address: int, signo: int) -> bytes:
    """The guest's siginfo_t as the host's."""
    raw = thread.process.memory.read(address, 128)
    info = unpack(raw, thread.process.abi.structs.model)
    host_raw = pack(info, HOST)
    return signo.to_bytes(4, "little", signed=True) + host_raw[4:]


@syscall
def rt_sigqueueinfo(thread: Thread, pid: Pid, signo: Signal, info: Addr) -> int:
    """rt_sigqueueinfo(2)"""
    return host.call(Nr.rt_sigqueueinfo, pid, signo, _load_info(thread, info, signo))


@syscall
def rt_tgsigqueueinfo(thread: Thread, pid: Pid, tid: Pid, signo: Signal, info: Addr) -> int:
    """rt_tgsigqueueinfo(2)"""
    return host.call(Nr.rt_tgsigqueueinfo, pid, tid, signo, _load_info(thread, info, signo))


@syscall
def pidfd_send_signal(thread: Thread, pidfd: Fd, signo: Signal, info: Addr, flags: UInt) -> int:
    """pidfd_send_signal(2)"""
    raw = _load_info(thread, info, signo) if info else None
    return host.call(Nr.pidfd_send_signal, pidfd, signo, raw, flags)


# -- handlers' stacks and returns ------------------------------------------------------------------


@syscall
def sigaltstack(thread: Thread, new: Addr, old: Addr) -> int:
    """sigaltstack(2)"""
    before, sp = thread.altstack, thread.process.abi.stack_pointer(thread.cpu)
    if new:
        thread.altstack = _checked_stack(
            thread, AltStack(*guest_memory.get(thread, new, "altstack"))
        )
    if old:
        guest_memory.put(thread, old, "altstack", before.base, before.flags_at(sp), before.size)
    return 0


def _checked_stack(thread: Thread, stack: AltStack) -> AltStack:
    if thread.altstack.holds(thread.process.abi.stack_pointer(thread.cpu)):
        raise Errno(errno.EPERM)
    mode = stack.flags & ~SS_AUTODISARM & 0xFFFF_FFFF
    if mode == SS_DISABLE:
        return AltStack()
    if mode not in (0, SS_ONSTACK):
        raise Errno(errno.EINVAL)
    if stack.size < MINSIGSTKSZ:
        raise Errno(errno.ENOMEM)
    return AltStack(stack.base, stack.flags & SS_AUTODISARM, stack.size)


@syscall
def rt_sigreturn(thread: Thread) -> None:
    """sigreturn(2), from a frame with siginfo"""
    delivery.pop_frame(thread, is_rt=True)


@syscall
def sigreturn(thread: Thread) -> None:
    """sigreturn(2), from a frame without siginfo"""
    delivery.pop_frame(thread, is_rt=False)
