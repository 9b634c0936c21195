"""How arguments and results are passed."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from frontends.x86.state import AX, BP, BX, CX, DI, DX, SI
from user_mode.errors import Errno


@pytest.fixture
def numbered(guest: Any) -> Any:
    """The six registers of arguments hold 0x80000001 to 0x80000006."""
    for i, register in enumerate((BX, CX, DX, SI, DI, BP)):
        guest.set_register(register, 0x80000001 + i)
    return guest


@pytest.mark.parametrize(
    ("kinds", "values"),
    [
        ((), []),
        (("u32",), [0x80000001]),
        (("s32", "ulong", "long"), [-0x7FFFFFFF, 0x80000002, -0x7FFFFFFD]),
        (("ulong",) * 6, [0x80000001 + i for i in range(6)]),
        (("s32", "u64"), [-0x7FFFFFFF, 0x80000003_80000002]),
        (("u32", "s64", "u32"), [0x80000001, 0x80000003_80000002 - (1 << 64), 0x80000004]),
        (("u32", "ulong", "ulong", "u64"), [*range(0x80000001, 0x80000004), 0x80000005_80000004]),
        (("u64", "u64", "u32"), [0x80000002_80000001, 0x80000004_80000003, 0x80000005]),
    ],
)
def test_arguments(numbered: Any, kinds: tuple[str, ...], values: list[int]) -> None:
    read = numbered.abi.convention.reader(kinds)
    assert list(read(numbered.cpu)) == values


def test_results(guest: Any) -> None:
    convention, cpu = guest.abi.convention, guest.cpu
    convention.succeed(cpu, -1 << 31)
    assert guest.register(AX) == 1 << 31
    convention.fail(cpu, errno.ENOENT)
    assert guest.register(AX) == (1 << 32) - errno.ENOENT


def test_a_call_begins_again_with_its_number(guest: Any) -> None:
    guest.set_register(AX, 3)
    guest.cpu.pc = 0x1002
    before = guest.abi.convention.overwritten(guest.cpu)
    guest.abi.convention.fail(guest.cpu, errno.EINTR)
    guest.abi.restart_syscall(guest.cpu, before)
    assert (guest.register(AX), guest.cpu.pc) == (3, 0x1000)


def test_every_call_finds_its_arguments_in_six_registers(guest: Any) -> None:
    for number in guest.abi.numbers:
        guest.table._bind(number)


def test_a_failing_call(guest: Any) -> None:
    with pytest.raises(Errno) as caught:
        guest.open(b"/nonexistent", 0, 0)
    assert caught.value.code == errno.ENOENT
