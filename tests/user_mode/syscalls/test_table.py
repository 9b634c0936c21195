"""The table: what is in it, how a call is found, made and fails."""

from __future__ import annotations

import errno
import signal
import types
from typing import Any

import pytest

from user_mode import host
from user_mode.abi.i386.numbers import NUMBERS as I386_NUMBERS
from user_mode.abi.ppc.convention import places
from user_mode.abi.ppc.numbers import NUMBERS
from user_mode.errors import Errno
from user_mode.syscalls.table import Syscall, collect, direct, syscall
from user_mode.syscalls.types import ARGUMENTS, Int

INSIDE_OTHERS = {"semop", "semtimedop"}
"""Calls that PowerPC has by ipc(2) only."""
OTHER_ABIS = {"newfstatat"}
"""Calls that no 32-bit ABI has."""


def test_every_call_has_a_number(guest: Any) -> None:
    known = {*NUMBERS.values(), *I386_NUMBERS.values()}
    assert set(guest.table.calls) - known == INSIDE_OTHERS | OTHER_ABIS


def test_every_parameter_has_a_known_type(guest: Any) -> None:
    for one in guest.table.calls.values():
        assert {type_ for _, type_ in one.parameters} <= ARGUMENTS.keys(), one.name


def test_every_call_can_be_bound(guest: Any) -> None:
    for number in NUMBERS:
        guest.table._bind(number)


def test_a_name_that_comes_twice_is_an_error() -> None:
    @syscall
    def getpid(thread: Any) -> int:
        return 1

    first, second = types.ModuleType("first"), types.ModuleType("second")
    first.getpid = getpid  # type: ignore[attr-defined]
    second.DIRECT = "getpid"  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="system call getpid is defined twice, again in second"):
        collect([first, second])


def test_direct_rows() -> None:
    rows = direct("fsync fd:Fd waits\nchown32 path:Lookup uid:Uid gid:Gid =chown\n")
    assert [row.name for row in rows] == ["fsync", "chown32"]
    assert rows[1].parameters == (("path", "Lookup"), ("uid", "Uid"), ("gid", "Gid"))


def test_parameters_come_from_the_annotations() -> None:
    @syscall(restarts=False, also=("other",))
    def call_(thread: Any, value: Int) -> int:
        return value

    assert isinstance(call_, Syscall)
    assert (call_.name, call_.parameters) == ("call", (("value", "Int"),))
    assert (call_.restarts, call_.also) == (False, ("other",))


def test_an_unknown_call_answers_enosys_and_is_named(guest: Any) -> None:
    with pytest.raises(Errno) as caught:
        guest.call("lookup_dcookie")
    assert caught.value.code == errno.ENOSYS
    assert guest.unknown == ["lookup_dcookie"]
    guest.thread.cpu.set(guest._gpr[0], 99999)
    guest.table.perform(guest.thread)
    assert guest.unknown[1:] == ["syscall_99999"]


@pytest.mark.parametrize(
    ("kinds", "registers"),
    [
        (("s32", "ulong", "s32"), [3, 4, 5]),
        (("s32", "ulong", "ulong", "s64"), [3, 4, 5, 7]),
        (("s32", "s64", "ulong"), [3, 5, 7]),
        (("s32", "s32", "s64", "s64"), [3, 4, 5, 7]),
        (("s64",), [3]),
    ],
)
def test_where_arguments_are(kinds: tuple[str, ...], registers: list[int]) -> None:
    assert places(kinds) == registers


def test_values_of_each_kind(guest: Any) -> None:
    cpu = guest.thread.cpu
    for i, value in enumerate((0xFFFFFFFE, 0x80000001, 0xFFFFFFFF, 0xFFFFFFF0, 0x1, 0x2)):
        cpu.set(guest._gpr[3 + i], value)
    convention = guest.abi.convention
    assert list(convention.reader(("s32", "u32", "s64"))(cpu)) == [-2, 0x80000001, -16]
    assert list(convention.reader(("u64", "s64"))(cpu)) == [0xFFFFFFFE80000001, -16]
    assert list(convention.reader(("ulong", "s64", "long"))(cpu)) == [0xFFFFFFFE, -16, 1]


def test_results_in_registers(guest: Any) -> None:
    cpu, convention = guest.thread.cpu, guest.abi.convention
    convention.fail(cpu, errno.ENOENT)
    assert (cpu.get(guest._gpr[3]), cpu.get(guest._so)) == (errno.ENOENT, 1)
    convention.succeed(cpu, -1)
    assert (cpu.get(guest._gpr[3]), cpu.get(guest._so)) == (0xFFFFFFFF, 0)


def test_a_signal_interrupts_and_leaves_word_for_the_delivery(guest: Any) -> None:
    """A handler without SA_RESTART is what makes the host's kernel answer EINTR."""
    fds = guest.room(8)
    guest.pipe(fds)
    reading = guest.memory.u32(fds)
    old = signal.signal(signal.SIGALRM, lambda *_: None)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(Errno) as caught:
            guest.read(reading, guest.room(1), 1)
        assert guest.thread.interrupted == (True, reading)
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(Errno):
            guest.poll(guest.make("pollfd", fd=reading, events=1), 1, -1)
        assert guest.thread.interrupted.restarts is False
    finally:
        signal.signal(signal.SIGALRM, old)
    assert caught.value.code == errno.EINTR


def test_host_calls() -> None:
    with pytest.raises(Errno) as caught:
        host.call(host.Nr.openat, -100, b"/nonexistent\0", 0)
    assert caught.value.code == errno.ENOENT
    assert host.raw(host.Nr.close, -1) == -errno.EBADF
    buffer = host.Buffer(b"abc")
    assert (buffer.raw, buffer.size, buffer.first(2)) == (b"abc", 3, b"ab")
    assert host.Buffer(0).raw == b""
