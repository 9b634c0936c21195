"""The native runtime: in and out of guest code, faults, code pages, signals, system calls."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

import pytest

from backend.llvm.arena import HostArena
from backend.llvm.runtime import Runtime, _Action
from backend.llvm.runtime_layout import ERESTARTSYS, PAGE_DIRTY, Ring
from tcg.state import HEADER, Head, Reason, Record, unset_link
from tests.backend.conftest import Compile, Guest, no_symbol

SA_SIGINFO, SA_RESTART = 4, 0x10000000
SYS_read, SYS_write, SYS_mmap, SYS_munmap = 0, 1, 9, 11
SYS_nanosleep, SYS_getpid = 35, 39
EINTR = 4

# Guest code: records are (code, guest address, value).
CODE = """
define tailcc void @store(ptr noalias %env, ptr %rec, ptr %base) nounwind {{
  %address.at = getelementptr i8, ptr %rec, i64 8
  %address = load i64, ptr %address.at
  %value.at = getelementptr i8, ptr %rec, i64 16
  %value = load i64, ptr %value.at
  %to = getelementptr i8, ptr %base, i64 %address
  store volatile i64 %value, ptr %to, align 1
  ret void
}}
define tailcc void @load(ptr noalias %env, ptr %rec, ptr %base) nounwind {{
  %address.at = getelementptr i8, ptr %rec, i64 8
  %address = load i64, ptr %address.at
  %from = getelementptr i8, ptr %base, i64 %address
  %value = load volatile i64, ptr %from, align 1
  %value.at = getelementptr i8, ptr %rec, i64 16
  store i64 %value, ptr %value.at
  ret void
}}
; Divides inexactly, then faults: the flag must be in header.mxcsr afterwards.
define tailcc void @third(ptr noalias %env, ptr %rec, ptr %base) nounwind {{
  %place = getelementptr i8, ptr %env, i64 {scratch}
  store volatile double 3.0, ptr %place
  %three = load volatile double, ptr %place
  %third = fdiv double 1.0, %three
  store volatile double %third, ptr %place
  musttail call tailcc void @load(ptr %env, ptr %rec, ptr %base)
  ret void
}}
; Runs until the event word is set.
define tailcc void @spin(ptr noalias %env, ptr %rec, ptr %base) nounwind {{
start:
  %event.at = getelementptr i8, ptr %env, i64 {event}
  br label %loop
loop:
  %event = load volatile i32, ptr %event.at
  %is_set = icmp ne i32 %event, 0
  br i1 %is_set, label %done, label %loop
done:
  ret void
}}
"""


@pytest.fixture(scope="module")
def code(compile_text: Compile, arena: HostArena) -> dict[str, int]:
    offsets = {name: slot.offset for name, slot in HEADER.items()}
    return arena.install(compile_text(CODE.format(**offsets)), no_symbol).exports


@contextmanager
def caught(runtime: Runtime, signo: int, handler: int, flags: int = SA_RESTART) -> Iterator[None]:
    """The signal goes to a native handler meanwhile."""
    libc = ctypes.CDLL(None)
    old = _Action()
    new = _Action(handler=handler, flags=SA_SIGINFO | flags)
    assert libc.sigaction(signo, ctypes.byref(new), ctypes.byref(old)) == 0
    try:
        yield
    finally:
        unblock()  # one that waited may come now, and block again
        libc.sigaction(signo, ctypes.byref(old), None)
        unblock()
        runtime.signals.forget()


def unblock() -> None:
    """Let signals come again: on_signal has blocked them all."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


# -- in and out ------------------------------------------------------------------------------


def test_an_untranslated_head_comes_back(guest: Guest) -> None:
    head = guest.record(guest.runtime.symbols["h_untranslated"], 0, 0x100)
    assert guest.run(head) == Reason.UNTRANSLATED
    assert guest.get("exit_rec") == head
    assert guest.get("in_guest") == 0


def test_a_counting_head_runs_its_body_until_it_is_hot(guest: Guest, code: dict[str, int]) -> None:
    body = guest.record(code["store"], 64, 0x1122)
    head = guest.record(guest.runtime.symbols["h_count"], body, 0x100, 3)
    for _ in range(2):
        guest.set("exit_reason", 0)
        assert guest.run(head) == Reason.NONE
    assert int.from_bytes(guest.memory[64:72], "little") == 0x1122
    assert guest.run(head) == Reason.HOT
    assert guest.get("exit_rec") == head
    assert guest.word(head + Head.COUNTER) == 0


def test_a_head_without_a_counter_runs_its_body(guest: Guest, code: dict[str, int]) -> None:
    body = guest.record(code["store"], 72, 7)
    guest.run(guest.record(guest.runtime.symbols["h_body"], body))
    assert guest.memory[72] == 7


def test_goto_follows_its_link_unless_unset_or_an_event_is_pending(
    guest: Guest, code: dict[str, int]
) -> None:
    target = guest.record(code["store"], 80, 9)
    assert Record.LINK == 24
    goto = guest.record(guest.runtime.symbols["h_goto"], 0, 0x200, target)
    guest.run(goto)
    assert guest.memory[80] == 9
    guest.set("event", 1)
    guest.memory[80] = 0
    assert guest.run(goto) == Reason.EVENT
    assert guest.get("exit_rec") == target
    assert guest.memory[80] == 0


@pytest.mark.parametrize("pc", [0x7FFF_1234, 0xFFFF_FFFF_FF60_0000], ids=hex)
def test_a_link_is_set_when_it_is_taken_and_there_is_a_head(
    guest: Guest, code: dict[str, int], pc: int
) -> None:
    runtime = guest.runtime
    goto = guest.record(runtime.symbols["h_goto"], 0, 0, unset_link(pc))
    assert guest.run(goto) == Reason.LOOKUP
    assert (guest.get("exit_pc"), guest.get("exit_rec")) == (pc, 0)
    guest.set("event", 1)
    assert guest.run(goto) == Reason.EVENT
    assert (guest.get("exit_pc"), guest.get("exit_rec")) == (pc, 0)
    guest.set("event", 0)
    head = runtime.head(pc, 0)
    assert runtime.find_head(pc, 0) == runtime.head(pc, 0) == head
    assert guest.run(goto) == Reason.UNTRANSLATED
    assert guest.get("exit_rec") == head
    assert guest.word(goto + Record.LINK) == unset_link(pc)
    body = guest.record(code["store"], 88, 5)
    guest.set_word(head + Head.BODY, body)
    guest.set_word(head + Head.CODE, runtime.symbols["h_body"])
    assert guest.run(goto) != Reason.LOOKUP
    assert guest.memory[88] == 5
    assert guest.word(goto + Record.LINK) == head


def test_heads_are_found_however_many_there_are(guest: Guest) -> None:
    runtime = guest.runtime
    pcs = [random.getrandbits(64) for random in [Random(1)] for _ in range(30_000)]
    heads = {}
    for pc in pcs:
        heads[pc] = runtime.head(pc, 0)
        if not heads[pc]:
            runtime.make_room_for_heads()
            heads[pc] = runtime.head(pc, 0)
    assert len(set(heads.values())) == len(heads)
    assert all(runtime.find_head(pc, 0) == head for pc, head in heads.items())
    assert not runtime.find_head(1, 0)


def test_the_host_clock_runs(runtime: Runtime, arena: HostArena) -> None:
    table = runtime.symbols["rt_host_table"]
    clock = ctypes.CFUNCTYPE(ctypes.c_int64)(int.from_bytes(arena.read(table, 8), "little"))
    before = time.monotonic_ns()
    assert before <= clock() <= time.monotonic_ns()


def test_a_jump_cache_starts_empty(runtime: Runtime, arena: HostArena) -> None:
    at = runtime.new_jump_cache()
    head = int.from_bytes(arena.read(at + 8 * 12345, 8), "little")
    assert int.from_bytes(arena.read(head + Head.PC, 8), "little") == (1 << 64) - 1


# -- faults ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["load", "store"])
def test_a_fault_leaves_guest_code(guest: Guest, code: dict[str, int], kind: str) -> None:
    guest.protect(0x5000, 0)
    guest.access[5] = 0
    assert guest.run(guest.record(code[kind], 0x5678)) == Reason.FAULT
    assert guest.get("fault_address") == 0x5678
    assert guest.get("fault_write") == (kind == "store")
    assert guest.get("fault_signal") == signal.SIGSEGV
    assert guest.get("fault_code") == 2
    assert guest.get("host_pc") - code[kind] in range(64)
    assert guest.get("in_guest") == 0


def test_the_sign_of_a_mapped_file_cut_short_is_sigbus(
    guest: Guest, code: dict[str, int], tmp_path: object
) -> None:
    libc = ctypes.CDLL(None)
    libc.mmap.restype = ctypes.c_void_p
    fd = os.memfd_create("short")
    shared, fixed = 1, 0x10
    libc.mmap(
        ctypes.c_void_p(guest.base + 0x8000), ctypes.c_size_t(4096), 3, shared | fixed, fd,
        ctypes.c_long(0),
    )  # fmt: skip
    os.close(fd)
    assert guest.run(guest.record(code["load"], 0x8010)) == Reason.FAULT
    assert guest.get("fault_signal") == signal.SIGBUS
    assert guest.get("fault_address") == 0x8010


def test_a_fault_keeps_the_sticky_flags_and_the_hosts_rounding(
    guest: Guest, code: dict[str, int]
) -> None:
    guest.protect(0x5000, 0)
    guest.access[5] = 0
    toward_zero, inexact = 0x6000, 0x20
    guest.set("mxcsr", 0x1F80 | toward_zero)
    assert guest.run(guest.record(code["third"], 0x5000)) == Reason.FAULT
    assert guest.get("mxcsr") == 0x1F80 | toward_zero | inexact
    one = float("1")
    assert one / 10 == 0.1, "the guest's rounding mode is in force in Python"


def test_faults_on_several_threads_at_once(
    arena: HostArena, runtime: Runtime, code: dict[str, int]
) -> None:
    failures: list[object] = []

    def work(number: int) -> None:
        guest = Guest(arena, runtime)
        guest.protect(0x10000, 0)
        guest.access[16] = 0
        record = guest.record(code["load"], 0x10000 + number)
        for _ in range(2000):
            guest.set("exit_reason", 0)
            seen = guest.run(record), guest.get("fault_address")
            if seen != (Reason.FAULT, 0x10000 + number):
                failures.append((number, seen))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


CRASH = """
import ctypes, sys
sys.path.insert(0, {root!r})
from backend.llvm.arena import HostArena
from backend.llvm.blob import Blob
from backend.llvm.client import Client
from backend.llvm.runtime import Runtime
arena = HostArena()
runtime = Runtime(arena, Blob.unpack(Client().call("runtime")))
runtime.catch_faults()
{more}
ctypes.string_at(0x1238)
"""


@pytest.mark.parametrize(
    "more", ["", "env = arena.data.allocate(4096); runtime.attach(env)"], ids=["alone", "attached"]
)
def test_a_crash_of_our_own_is_one_line_and_the_signal(more: str) -> None:
    root = str(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    done = subprocess.run(
        [sys.executable, "-c", CRASH.format(root=root, more=more)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == -signal.SIGSEGV
    assert done.stderr.startswith("qemupy: internal error: crash at 0x0000")
    assert done.stderr.endswith("(0x0000000000001238)\n")


# -- code pages ------------------------------------------------------------------------------


def test_a_write_to_a_code_page_goes_through_and_is_told(
    guest: Guest, code: dict[str, int]
) -> None:
    guest.watch(0x3000)
    assert guest.run(guest.record(code["store"], 0x3008, 0xABCD)) == Reason.NONE
    assert int.from_bytes(guest.memory[0x3008:0x3010], "little") == 0xABCD
    assert guest.flags[3] & PAGE_DIRTY
    assert guest.get("event") == 1
    guest.set("event", 0)
    guest.run(guest.record(code["store"], 0x3010, 1))
    assert guest.get("event") == 0, "the page was opened, the second write is nothing special"


def test_reading_a_code_page_is_nothing_special(guest: Guest, code: dict[str, int]) -> None:
    guest.memory[0x3008] = 5
    guest.watch(0x3000)
    record = guest.record(code["load"], 0x3008, 0)
    guest.run(record)
    assert guest.word(record + 16) == 5
    assert guest.get("event") == 0


def test_a_code_page_the_guest_may_not_write_faults(guest: Guest, code: dict[str, int]) -> None:
    guest.watch(0x3000)
    guest.access[3] = 1 | 4
    assert guest.run(guest.record(code["store"], 0x3008, 1)) == Reason.FAULT
    assert guest.flags[3] == 1


def test_python_may_write_to_a_code_page_too(guest: Guest) -> None:
    guest.runtime.attach(guest.env)
    guest.watch(0x4000)
    guest.memory[0x4000:0x4004] = b"code"
    assert guest.flags[4] & PAGE_DIRTY
    assert guest.get("event") == 1


def test_a_write_waits_while_another_thread_opens_the_page(
    guest: Guest, code: dict[str, int]
) -> None:
    guest.protect(0x6000, 1)
    threading.Timer(0.001, guest.protect, (0x6000, 3)).start()
    started = time.monotonic()
    reason = guest.run(guest.record(code["store"], 0x6000, 77))
    assert reason == Reason.NONE or time.monotonic() - started > 0.001
    if reason == Reason.NONE:
        assert guest.memory[0x6000] == 77


def test_a_page_that_never_opens_is_a_fault_in_the_end(guest: Guest, code: dict[str, int]) -> None:
    guest.protect(0x6000, 1)
    assert guest.run(guest.record(code["store"], 0x6000, 77)) == Reason.FAULT


def test_threads_that_write_to_the_same_code_page(guest: Guest, code: dict[str, int]) -> None:
    wrong: list[int] = []
    stop = threading.Event()

    def write(number: int) -> None:
        env, view = guest.new_env()
        record = guest.record(code["store"], 0x7000 + 8 * number, 1)
        while not stop.is_set():
            guest.runtime.enter(env, record)
            reason = int.from_bytes(view[:4], "little")
            if reason:
                wrong.append(reason)
                return

    threads = [threading.Thread(target=write, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(300):
        guest.watch(0x7000)
        time.sleep(0.0005)
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong


# -- signals ---------------------------------------------------------------------------------


def test_a_signal_is_kept_and_stops_guest_code(
    guest: Guest, runtime: Runtime, code: dict[str, int]
) -> None:
    with caught(runtime, signal.SIGUSR1, runtime.on_signal):
        threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGUSR1)).start()
        guest.run(guest.record(code["spin"]))
        (seen,) = runtime.caught_signals()
    assert seen.env == guest.env
    assert int.from_bytes(seen.info[0:4], "little") == signal.SIGUSR1
    assert int.from_bytes(seen.info[8:12], "little", signed=True) == 0, "SI_USER"
    assert int.from_bytes(seen.info[16:20], "little") == os.getpid()
    assert runtime.caught_signals() == []


def test_a_thread_without_env_tells_the_main_one(guest: Guest, runtime: Runtime) -> None:
    runtime.set_main_env(guest.env)
    with caught(runtime, signal.SIGUSR1, runtime.on_signal):

        def send() -> None:
            signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)

        thread = threading.Thread(target=send)
        thread.start()
        thread.join()
        assert [one.env for one in runtime.caught_signals()] == [guest.env]
    assert guest.get("event") == 1
    runtime.set_main_env(0)


def test_signals_keep_their_order_and_what_does_not_fit_is_known(
    guest: Guest, runtime: Runtime
) -> None:
    runtime.attach(guest.env)
    first, second = signal.SIGRTMIN + 4, signal.SIGRTMIN + 5
    with caught(runtime, first, runtime.on_signal), caught(runtime, second, runtime.on_signal):
        for i in range(Ring.SLOTS):
            os.kill(os.getpid(), second if i % 3 else first)
            unblock()
        os.kill(os.getpid(), second)
        unblock()
        seen = [int.from_bytes(one.info[:4], "little") for one in runtime.caught_signals()]
        assert seen[:-1] == [second if i % 3 else first for i in range(Ring.SLOTS)]
        assert seen[-1] == second
        os.kill(os.getpid(), first)
        assert len(runtime.caught_signals()) == 1


def test_a_sent_sigsegv_is_a_signal_like_others(guest: Guest, runtime: Runtime) -> None:
    runtime.attach(guest.env)
    os.kill(os.getpid(), signal.SIGSEGV)
    (seen,) = runtime.caught_signals()
    assert seen.info[0] == signal.SIGSEGV
    assert signal.SIGUSR1 in signal.pthread_sigmask(signal.SIG_BLOCK, ()), "one at a time"
    unblock()


def test_a_kick_stops_guest_code_and_leaves_no_trace(
    guest: Guest, runtime: Runtime, code: dict[str, int]
) -> None:
    me = threading.get_ident()
    with caught(runtime, signal.SIGUSR2, runtime.on_kick):
        threading.Timer(0.02, signal.pthread_kill, (me, signal.SIGUSR2)).start()
        guest.run(guest.record(code["spin"]))
    assert runtime.caught_signals() == []


# -- system calls ----------------------------------------------------------------------------


def syscall(guest: Guest, number: int, *arguments: int) -> int:
    return guest.runtime.safe_syscall(guest.env, number, *arguments, *[0] * (6 - len(arguments)))


@contextmanager
def rescue(pipe: int) -> Iterator[None]:
    """Whoever should not wait for this pipe gets a byte in the end, so that the test can fail."""
    timer = threading.Timer(30, os.write, (pipe, b"x"))
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def test_a_system_call_gets_six_arguments(guest: Guest) -> None:
    with open("/proc/self/exe", "rb") as file:
        at = syscall(guest, SYS_mmap, 0, 4096, 1, 2, file.fileno(), 4096)
        file.seek(4096)
        assert ctypes.string_at(at, 4096) == file.read(4096)
    assert syscall(guest, SYS_munmap, at, 4096) == 0
    assert syscall(guest, SYS_getpid) == os.getpid()


def test_an_error_is_a_negative_number(guest: Guest) -> None:
    assert syscall(guest, SYS_read, 999999) == -9


def test_a_pending_event_keeps_the_call_from_being_made(guest: Guest) -> None:
    reading, writing = os.pipe()
    guest.set("event", 1)
    buffer = ctypes.create_string_buffer(8)
    started = time.monotonic()
    with rescue(writing):
        assert syscall(guest, SYS_read, reading, ctypes.addressof(buffer), 1) == -ERESTARTSYS
    assert time.monotonic() - started < 1
    os.close(reading)
    os.close(writing)


@pytest.mark.parametrize(
    ("call", "result"), [("read", -ERESTARTSYS), ("nanosleep", -EINTR)], ids=["read", "nanosleep"]
)
def test_a_signal_ends_a_call_that_waits(
    guest: Guest, runtime: Runtime, call: str, result: int
) -> None:
    reading, writing = os.pipe()
    second = (ctypes.c_int64 * 2)(5, 0)
    runtime.attach(guest.env)
    me = threading.get_ident()
    with rescue(writing), caught(runtime, signal.SIGUSR1, runtime.on_signal):
        threading.Timer(0.05, signal.pthread_kill, (me, signal.SIGUSR1)).start()
        if call == "read":
            got = syscall(guest, SYS_read, reading, ctypes.addressof(second), 1)
        else:
            got = syscall(guest, SYS_nanosleep, ctypes.addressof(second), 0)
        assert got == result
        assert len(runtime.caught_signals()) == 1
    os.close(reading)
    os.close(writing)


def test_no_signal_is_ever_missed_by_a_call_about_to_wait(guest: Guest, runtime: Runtime) -> None:
    """A timer storm against read(2) on an empty pipe: one signal missed would hang it for good.

    Every signal comes at a time of its own, so that many hit the few instructions between the look
    at the event word and the kernel.
    """
    reading, writing = os.pipe()
    buffer = ctypes.create_string_buffer(8)
    runtime.attach(guest.env)
    results = {-ERESTARTSYS: 0, -EINTR: 0, 1: 0}
    with rescue(writing), caught(runtime, signal.SIGALRM, runtime.on_signal):
        for i in range(3000):
            guest.set("event", 0)
            runtime.caught_signals()
            unblock()
            signal.setitimer(signal.ITIMER_REAL, 1e-6 * (1 + i % 40))
            results[syscall(guest, SYS_read, reading, ctypes.addressof(buffer), 1)] += 1
            assert guest.get("event") == 1
    assert results == {-ERESTARTSYS: 3000, -EINTR: 0, 1: 0}
    os.close(reading)
    os.close(writing)


def test_a_finished_call_keeps_its_result_whatever_comes(guest: Guest, runtime: Runtime) -> None:
    """write(2) under a signal storm: what was written is what was reported."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    runtime.attach(guest.env)
    buffer = ctypes.create_string_buffer(b"x")
    reported = found = 0
    with caught(runtime, signal.SIGALRM, runtime.on_signal):
        signal.setitimer(signal.ITIMER_REAL, 1e-4, 1e-4)
        for _ in range(4000):
            guest.set("event", 0)
            unblock()
            result = syscall(guest, SYS_write, writing, ctypes.addressof(buffer), 1)
            assert result in (1, -ERESTARTSYS)
            reported += result == 1
            if reported % 1000 == 999 or result != 1:
                runtime.caught_signals()
            found += len(_drain(reading))
        signal.setitimer(signal.ITIMER_REAL, 0)
    assert reported == found
    assert reported > 0
    os.close(reading)
    os.close(writing)


def _drain(fd: int) -> bytes:
    try:
        return os.read(fd, 65536)
    except BlockingIOError:
        return b""


def test_after_fork_the_childs_ring_is_empty(guest: Guest, runtime: Runtime) -> None:
    runtime.attach(guest.env)
    with caught(runtime, signal.SIGUSR1, runtime.on_signal):
        os.kill(os.getpid(), signal.SIGUSR1)
        runtime.after_fork_in_child()
        unblock()
        assert runtime.caught_signals() == []
        os.kill(os.getpid(), signal.SIGUSR1)
        assert len(runtime.caught_signals()) == 1
