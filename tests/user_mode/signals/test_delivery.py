"""How signals reach handlers: masks, stacks, restarted calls, frames and the way back."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from user_mode import delivery
from user_mode.delivery import deliver, force, take_signals
from user_mode.siginfo import SigInfo
from user_mode.signals import (
    SA_NODEFER,
    SA_ONSTACK,
    SA_RESETHAND,
    SA_RESTART,
    SA_SIGINFO,
    SIG_IGN,
    AltStack,
    SigAction,
    bit,
)
from user_mode.syscalls.table import Interrupted

HANDLER, STACK = 0x1000_0000, 0x7FFF_F000
USR1, USR2, SEGV = signal.SIGUSR1, signal.SIGUSR2, signal.SIGSEGV


def handle(thread: Any, signo: int, flags: int = 0, mask: int = 0) -> None:
    thread.process.signals[signo] = SigAction(HANDLER, flags, mask)


def gpr(thread: Any, number: int) -> int:
    registers = thread.process.abi.registers.read(thread.cpu)
    return int(registers.gpr[number])


def scramble(thread: Any) -> Any:
    """Give every register a value of its own; gives them all."""
    registers = thread.process.abi.registers.read(thread.cpu)
    registers.gpr = [0x100 + i for i in range(32)]
    registers.gpr[1] = STACK
    registers.fpr = [0x4000_0000_0000_0000 + i for i in range(32)]
    registers.lr, registers.ctr, registers.xer = 0x2000, 0x3000, 0xA000_0005
    registers.cr, registers.fpscr, registers.pc = 0x1234_5678, 0x0200_0003, 0x4444
    thread.process.abi.registers.write(thread.cpu, registers)
    return registers


@pytest.mark.parametrize("flags", [0, SA_SIGINFO], ids=["old", "rt"])
def test_a_handler_starts_and_returns(thread: Any, flags: int) -> None:
    before = scramble(thread)
    thread.blocked = bit(USR2)
    handle(thread, USR1, flags, mask=bit(40))
    deliver(thread, SigInfo(USR1, pid=77))
    assert thread.cpu.pc == HANDLER
    assert gpr(thread, 3) == USR1
    assert gpr(thread, 1) % 16 == 0
    assert thread.process.memory.u32(gpr(thread, 1)) == STACK, "the back chain"
    assert thread.blocked == bit(USR1) | bit(USR2) | bit(40)
    assert thread.process.abi.registers.read(thread.cpu).fpscr == 0
    delivery.pop_frame(thread, is_rt=bool(flags))
    assert thread.process.abi.registers.read(thread.cpu) == before
    assert thread.blocked == bit(USR2)


def test_a_handler_gets_the_siginfo(thread: Any) -> None:
    handle(thread, USR1, SA_SIGINFO)
    deliver(thread, SigInfo(USR1, code=-1, pid=77, uid=5, value=0x1234_5678))
    raw = thread.process.memory.read(gpr(thread, 4), 24)
    words = [int.from_bytes(raw[i : i + 4], "big") for i in range(0, 24, 4)]
    assert words == [USR1, 0, 0xFFFF_FFFF, 77, 5, 0x1234_5678]


def test_a_handler_may_change_where_it_returns_to_and_with_what(thread: Any) -> None:
    handle(thread, USR1, SA_SIGINFO)
    deliver(thread, SigInfo(USR1))
    memory = thread.process.memory
    registers = memory.u32(gpr(thread, 5) + 48)
    memory.put_u32(registers + 4 * 32, 0x9998)
    memory.put_u32(registers + 4 * 14, 0xABCD)
    memory.put_u32(gpr(thread, 5) + 52, bit(USR2))
    delivery.pop_frame(thread, is_rt=True)
    assert (thread.cpu.pc, gpr(thread, 14), thread.blocked) == (0x9998, 0xABCD, bit(USR2))


def test_flags_of_an_action(thread: Any) -> None:
    handle(thread, USR1, SA_NODEFER | SA_RESETHAND)
    deliver(thread, SigInfo(USR1))
    assert thread.blocked == 0
    assert thread.process.signals[USR1] == SigAction()


def test_the_other_stack_is_used_once(thread: Any) -> None:
    thread.process.memory.mmap(0x6000_0000, 0x8000, 3, 0x32, -1, 0)
    thread.altstack = AltStack(0x6000_0000, 0, 0x8000)
    handle(thread, USR1, SA_ONSTACK)
    deliver(thread, SigInfo(USR1))
    first = gpr(thread, 1)
    assert 0x6000_0000 < first < 0x6000_8000
    handle(thread, USR2, SA_ONSTACK)
    deliver(thread, SigInfo(USR2))
    assert 0x6000_0000 < gpr(thread, 1) < first, "nested: further down, not from the top again"


def test_no_room_for_a_frame_is_a_fault_and_then_the_end(thread: Any) -> None:
    registers = thread.process.abi.registers.read(thread.cpu)
    registers.gpr[1] = 0x100
    thread.process.abi.registers.write(thread.cpu, registers)
    handle(thread, USR1)
    handle(thread, SEGV)
    with pytest.raises(SystemExit) as death:
        deliver(thread, SigInfo(USR1))
    assert death.value.code == 128 + SEGV


@pytest.mark.parametrize("how", ["blocked", "ignored", "default"])
def test_a_fault_that_cannot_be_delivered_kills(
    thread: Any, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if how == "ignored":
        thread.process.signals[SEGV] = SigAction(SIG_IGN)
    elif how == "blocked":
        handle(thread, SEGV)
        thread.blocked = bit(SEGV)
    with pytest.raises(SystemExit):
        force(thread, SigInfo(SEGV, 1, address=4))
    said = capsys.readouterr().err
    assert said == "qemu: uncaught target signal 11 (Segmentation fault) - core dumped\n"


RESTARTS = {
    "restarted": (True, SA_RESTART, False, 0x4440, 0x111),
    "not asked for": (True, 0, False, 0x4444, 4),
    "never restarts": (False, SA_RESTART, False, 0x4444, 4),
    "never began": (False, 0, True, 0x4440, 0x111),
}


@pytest.mark.parametrize("case", RESTARTS)
def test_an_interrupted_call_begins_again_or_fails(thread: Any, case: str) -> None:
    restarts, flags, unbegun, pc, result = RESTARTS[case]
    scramble(thread)
    thread.process.abi.convention.fail(thread.cpu, 4)
    thread.interrupted, thread.is_unbegun = Interrupted(restarts, 0x111), unbegun
    handle(thread, USR1, SA_SIGINFO | flags)
    thread.process.hand = [SigInfo(USR1)]
    take_signals(thread)
    assert thread.cpu.pc == HANDLER
    delivery.pop_frame(thread, is_rt=True)
    assert (thread.cpu.pc, gpr(thread, 3)) == (pc, result)
    assert thread.interrupted is None


def test_a_call_interrupted_for_nothing_begins_again(thread: Any) -> None:
    scramble(thread)
    thread.interrupted = Interrupted(False, 0x111)
    take_signals(thread)
    assert (thread.cpu.pc, gpr(thread, 3)) == (0x4440, 0x111)


def test_a_signal_blocked_in_the_meantime_waits_in_the_kernel(thread: Any) -> None:
    handle(thread, USR1)
    handle(thread, SEGV)
    thread.blocked = bit(USR1) | bit(SEGV)
    thread.process.hand = [SigInfo(USR1), SigInfo(SEGV)]
    take_signals(thread)
    assert thread.process.signals.sent_back == [SigInfo(USR1)]
    assert thread.waiting == [SigInfo(SEGV)], "the host cannot block this one"
    assert thread.pending == bit(SEGV)
    thread.process.hand = []
    thread.set_blocked(0)
    assert thread.cpu.has_event
    take_signals(thread)
    assert gpr(thread, 3) == SEGV


def test_a_mask_for_waiting_ends_with_the_wait(thread: Any) -> None:
    handle(thread, USR1, SA_SIGINFO)
    thread.blocked = bit(USR1)
    thread.wait_with_mask(bit(USR2))
    thread.process.hand = [SigInfo(USR1)]
    take_signals(thread)
    assert thread.cpu.pc == HANDLER
    assert thread.blocked == bit(USR1) | bit(USR2), "the waiting mask still holds in the handler"
    delivery.pop_frame(thread, is_rt=True)
    assert thread.blocked == bit(USR1)
    thread.wait_with_mask(0)
    thread.process.hand = []
    take_signals(thread)
    assert thread.blocked == bit(USR1)
