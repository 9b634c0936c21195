"""Futexes: the guest's words are the host's, in the guest's byte order.

The host's kernel does the waiting and waking on the host address.  It compares a word with a value
in its own byte order, so that value is turned round; FUTEX_WAKE_OP calculates with a word, so that
part is done here.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING

from user_mode import host
from user_mode.errors import Errno

if TYPE_CHECKING:
    from user_mode.process import Process, Thread

WAIT, WAKE, REQUEUE, CMP_REQUEUE, WAKE_OP, WAIT_BITSET, WAKE_BITSET = 0, 1, 3, 4, 5, 9, 10
PRIVATE, CLOCK_REALTIME = 128, 256
COMMANDS = ~(PRIVATE | CLOCK_REALTIME)

WAITERS, OWNER_DIED, TID_MASK = 0x8000_0000, 0x4000_0000, 0x3FFF_FFFF
ROBUST_LIST_LIMIT = 2048

# fmt: off
OPERATIONS = (
    lambda _old, arg: arg,             # FUTEX_OP_SET
    lambda old, arg: old + arg,        # FUTEX_OP_ADD
    lambda old, arg: old | arg,        # FUTEX_OP_OR
    lambda old, arg: old & ~arg,       # FUTEX_OP_ANDN
    lambda old, arg: old ^ arg,        # FUTEX_OP_XOR
)
COMPARISONS = (
    lambda old, arg: old == arg,       # FUTEX_OP_CMP_EQ
    lambda old, arg: old != arg,
    lambda old, arg: old < arg,
    lambda old, arg: old <= arg,
    lambda old, arg: old > arg,
    lambda old, arg: old >= arg,
)
# fmt: on


def word_address(process: Process, address: int) -> int:
    """The host address of a futex word; raises Errno."""
    if address & 3:
        raise Errno(errno.EINVAL)
    return process.memory.host_range(address, 4, True)


def host_word(process: Process, value: int) -> int:
    """A futex word's value, as the host's kernel will load it."""
    order = "big" if process.abi.byte_order == ">" else "little"
    return int.from_bytes((value & 0xFFFF_FFFF).to_bytes(4, order), "little")  # type: ignore[arg-type]


def wait(thread: Thread, address: int, operation: int, value: int, timeout: int, bits: int) -> int:
    """FUTEX_WAIT and FUTEX_WAIT_BITSET; `timeout` is a host address, 0 for none."""
    where = word_address(thread.process, address)
    value = host_word(thread.process, value)
    return host.blocking(thread, host.Nr.futex, where, operation, value, timeout, 0, bits)


def wake(process: Process, address: int, operation: int, count: int, bits: int = 0) -> int:
    """FUTEX_WAKE and FUTEX_WAKE_BITSET"""
    where = word_address(process, address)
    return host.call(host.Nr.futex, where, operation, count, 0, 0, bits)


def requeue(
    process: Process, address: int, operation: int, counts: tuple[int, int], target: int, value: int
) -> int:
    """FUTEX_REQUEUE and FUTEX_CMP_REQUEUE; `counts`: how many to wake, how many to move."""
    where, there = word_address(process, address), word_address(process, target)
    value = host_word(process, value)
    return host.call(host.Nr.futex, where, operation, *counts, there, value)


def wake_op(
    process: Process, address: int, operation: int, counts: tuple[int, int], second: int, code: int
) -> int:
    """FUTEX_WAKE_OP: change `second`, wake on `address`, and on `second` if its old value fits."""
    change, compare = code >> 28 & 15, code >> 24 & 15
    argument, other = _signed12(code >> 12), _signed12(code)
    if change & 8:
        argument = 1 << (argument & 31)
    if change & 7 >= len(OPERATIONS) or compare >= len(COMPARISONS):
        raise Errno(errno.ENOSYS)
    operation = operation & PRIVATE | WAKE
    old = update(process, second, lambda word: OPERATIONS[change & 7](word, argument))
    woken = wake(process, address, operation, counts[0])
    if COMPARISONS[compare](old - (1 << 32) if old >> 31 else old, other):
        woken += wake(process, second, operation, counts[1])
    return woken


def _signed12(value: int) -> int:
    value &= 0xFFF
    return value - 0x1000 if value & 0x800 else value


def update(process: Process, address: int, change: Callable[[int], int]) -> int:
    """Change a word of guest memory at once for all threads; gives its old value.

    Raises Errno(EFAULT).
    """
    word_address(process, address)
    if not process.memory.allows(address, 3):
        raise Errno(errno.EFAULT)
    where = process.memory.base + address
    while True:
        old = process.memory.u32(address)
        seen, new = host_word(process, old), host_word(process, change(old))
        if process.runtime.compare_exchange(where, seen, new) == seen:
            return old


def abandon_locks(thread: Thread) -> None:
    """Mark the robust mutexes that a dying thread holds, and wake who waits for them.

    Source: exit_robust_list() in kernel/futex/core.c, Documentation/locking/robust-futexes.rst.
    """
    head, thread.robust_list = thread.robust_list, 0
    if not head:
        return
    memory, size = thread.process.memory, thread.process.abi.long_size
    load = memory.u32 if size == 4 else memory.u64
    try:
        entry, offset, pending = load(head), load(head + size), load(head + 2 * size) & ~1
        for _ in range(ROBUST_LIST_LIMIT):
            if entry & ~1 == head:
                break
            following = load(entry & ~1)
            if entry & ~1 != pending:
                _abandon(thread, (entry & ~1) + offset)
            entry = following
        if pending:
            _abandon(thread, pending + offset)
    except Errno:
        return  # The guest's list leads nowhere: the kernel stops there too.


def _abandon(thread: Thread, address: int) -> None:
    process = thread.process
    address &= (1 << 8 * process.abi.long_size) - 1
    if process.memory.u32(address) & TID_MASK != thread.tid:
        return
    old = update(process, address, lambda word: word & WAITERS | OWNER_DIED)
    if old & WAITERS:
        wake(process, address, WAKE, 1)
