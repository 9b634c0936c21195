"""The native runtime as Python sees it: enter guest code, make system calls, collect signals.

The code itself is runtime.ll.  Only the functions here and the handlers it exports are ever used.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from struct import Struct
from threading import Lock
from typing import Any

from backend.llvm.arena import Code, HostArena
from backend.llvm.blob import Blob
from backend.llvm.cache import Cache
from backend.llvm.runtime_layout import Ring
from tcg.floats import CONTROL_DEFAULT
from tcg.state import HEADER, JUMP_CACHE_BITS, Head

SIGBUS, SIGSEGV = 7, 11
SA_SIGINFO = 4

MXCSR_DEFAULT = 0x1F80
"""All FP exceptions masked, none raised, round to nearest: what a CPU starts with."""

EXPORTS = (
    "h_untranslated", "h_count", "h_body", "h_goto", "h_follow", "h_lookup", "h_check",
    "rt_empty_head", "rt_host_table",
    "s_follow", "s_lookup", "s_far", "s_page", "mmu_read", "mmu_write", "mmu_touch", "mmu_range",
    "mmu_copy", "mmu_repeat", "mmu_physical_load", "mmu_physical_store",
)  # fmt: skip
"""What compiled code, records and heads may refer to."""

HEADS_AT_ONCE, FIRST_HEADS = 512, 1 << 13

_WORD = Struct("Q")  # native: one store, which another thread sees all or nothing of
_HALF = Struct("I")


class _Action(ctypes.Structure):
    """struct sigaction of the C library."""

    _fields_ = (
        ("handler", ctypes.c_void_p),
        ("mask", ctypes.c_ulong * 16),
        ("flags", ctypes.c_int),
        ("restorer", ctypes.c_void_p),
    )


@dataclass(frozen=True, slots=True)
class CaughtSignal:
    """A host signal that came: the env of the thread it reached, and the kernel's siginfo.

    For one that did not fit in the ring, env is zero and siginfo has nothing but the number.
    """

    env: int
    info: bytes


def runtime_blob(cache: Cache, compile_runtime: Callable[[], bytes]) -> Blob:
    """The runtime from the cache, else from the worker."""
    key = cache.key("runtime", b"")
    known = cache.get(key)
    if known is not None:
        return Blob.unpack(known)
    data = compile_runtime()
    cache.put(key, data)
    return Blob.unpack(data)


class Runtime:
    """The runtime in one process's arena.

    `enter(env, record)` runs guest code and gives the Reason it came back for;
    `safe_syscall(env, number, six arguments)` makes a system call unless header.event is set, and
    gives its result or -errno, -ERESTARTSYS if it was not made;
    `attach(env)` says which CPU the calling thread runs (enter does so too; safe_syscall needs it).
    All three let other Python threads run meanwhile.
    """

    def __init__(self, arena: HostArena, blob: Blob) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._arena = arena
        self._code: Code = arena.install(blob, self._host_function)
        self.symbols: dict[str, int] = {name: self._code.exports[name] for name in EXPORTS}
        self._make_functions(self._code.exports)
        self._make_key()
        self.signals = RingReader(self._make_ring("rt_signal_ring"))
        self._heads = self._table_size = 0
        self.make_room_for_heads()

    def _make_functions(self, at: dict[str, int]) -> None:
        word, pointer = ctypes.c_int64, ctypes.c_void_p
        self.enter: Callable[[int, int], int]
        self.enter = ctypes.CFUNCTYPE(ctypes.c_int, pointer, pointer)(at["enter"])
        self.attach: Callable[[int | None], None]
        self.attach = ctypes.CFUNCTYPE(None, pointer)(at["attach"])
        self.safe_syscall: Callable[..., int]
        # Numbers are declared as pointers, which ctypes converts three times as quickly.
        self.safe_syscall = ctypes.CFUNCTYPE(word, *(pointer,) * 8)(at["safe_syscall"])
        self.compare_exchange: Callable[[int, int, int], int]
        half = ctypes.c_uint32
        self.compare_exchange = ctypes.CFUNCTYPE(half, pointer, half, half)(at["compare_exchange"])
        # These are short, and called with the world's lock held: they keep the GIL.
        number = ctypes.c_uint64
        self.head: Callable[[int, int], int]
        self.head = ctypes.PYFUNCTYPE(number, number, number)(at["rt_head"])
        """The head of a guest pc, which is made if need be; 0 if there is no room for it."""
        self.find_head: Callable[[int, int], int]
        self.find_head = ctypes.PYFUNCTYPE(number, number, number)(at["rt_find"])
        """The head of a guest pc, or 0."""
        self._grow = ctypes.PYFUNCTYPE(None, number)(at["rt_grow"])
        self.forget: Callable[[], None] = ctypes.PYFUNCTYPE(None)(at["rt_forget"])
        """Have no head lead to code."""
        self.load = ctypes.PYFUNCTYPE(
            None, pointer, pointer, pointer, word, pointer, word, pointer, ctypes.c_uint32
        )(at["rt_load"])
        """Make a page's records run: see rt_load in runtime.ll."""
        self.mmu = NativeMmu(self, at)
        self.on_signal, self.on_kick = at["on_signal"], at["on_kick"]

    def _host_function(self, name: str) -> int:
        """The address of a function of the host's C library; raises KeyError."""
        try:
            found = ctypes.cast(getattr(self._libc, name), ctypes.c_void_p).value
        except AttributeError:
            raise KeyError(f"the host's C library has no function {name}") from None
        assert found is not None
        return found

    def resolve(self, symbol: str) -> int:
        """The address of a shared handler or a C library function; raises KeyError."""
        found = self.symbols.get(symbol)
        return self._host_function(symbol) if found is None else found

    def poke(self, name: str, value: int) -> None:
        _WORD.pack_into(self._arena.view, self._code.exports[name] - self._arena.base, value)

    def _peek(self, name: str) -> int:
        at = self._code.exports[name] - self._arena.base
        value: int = _WORD.unpack_from(self._arena.view, at)[0]
        return value

    def _make_key(self) -> None:
        key = ctypes.c_uint()
        if self._libc.pthread_key_create(ctypes.byref(key), None):
            raise OSError("pthread_key_create failed")
        _HALF.pack_into(
            self._arena.view, self._code.exports["rt_key"] - self._arena.base, key.value
        )

    def _make_ring(self, name: str) -> memoryview:
        address = self._arena.data.allocate(Ring.BYTES)
        self.poke(name, address)
        start = address - self._arena.base
        return self._arena.view[start : start + Ring.BYTES]

    def make_room_for_heads(self, count: int = HEADS_AT_ONCE) -> None:
        """See that rt_head has room for so many more heads."""
        if self._peek("rt_head_end") - self._peek("rt_head_next") >= count * Head.SIZE:
            return
        count = max(count, HEADS_AT_ONCE)
        self._heads += count
        if 2 * self._heads > self._table_size:
            self._table_size = max(FIRST_HEADS, 1 << (4 * self._heads).bit_length())
            table = self._arena.data.allocate(8 * (self._table_size + 1))
            _WORD.pack_into(self._arena.view, table - self._arena.base, self._table_size - 1)
            self._grow(table)
        room = self._arena.data.allocate(count * Head.SIZE)
        self.poke("rt_head_next", room)
        self.poke("rt_head_end", room + count * Head.SIZE)

    def set_rules(self, where: int, pc_shift: int, notices: bool) -> None:
        """Where branches lead: 0 nowhere, 1 to heads, 2 to bodies; the jump cache's shift; whether
        the guest notices stores into its code at once.
        """
        rules = ("rt_links", where), ("rt_pc_shift", pc_shift), ("rt_notices", notices)
        for name, value in rules:
            _HALF.pack_into(self._arena.view, self._code.exports[name] - self._arena.base, value)

    def set_main_env(self, env: int) -> None:
        """The CPU that is told of signals which reach a thread that runs no guest."""
        self.poke("rt_main_env", env)

    def catch_faults(self) -> None:
        """Have SIGSEGV and SIGBUS handled natively from here on."""
        for signo in (SIGSEGV, SIGBUS):
            self._catch(signo, self._code.exports["on_fault"], SA_SIGINFO)

    def _catch(self, signo: int, handler: int, flags: int) -> None:
        action = _Action(handler=handler, flags=flags)
        if self._libc.sigaction(signo, ctypes.byref(action), None):
            raise OSError(ctypes.get_errno(), f"sigaction of signal {signo}")

    def new_jump_cache(self) -> int:
        """The address of an empty jump cache: every place holds a head that has no guest pc."""
        count = 1 << JUMP_CACHE_BITS
        address = self._arena.data.allocate(8 * count)
        self.empty_jump_cache(address)
        return address

    def empty_jump_cache(self, address: int) -> None:
        """Forget everything in a jump cache."""
        start = address - self._arena.base
        size = 8 << JUMP_CACHE_BITS
        empty = _WORD.pack(self.symbols["rt_empty_head"])
        self._arena.view[start : start + size] = empty * (size // 8)

    def prepare(
        self, view: memoryview, base: int, guest_limit: int, page_flags: int, page_access: int
    ) -> None:
        """Fill in the header of a new env, which `view` is, except for its jump cache.

        Without tables (both zero) every fault is the guest's.
        """
        for field, value in (
            ("base", base),
            ("guest_limit", guest_limit),
            ("page_flags", page_flags),
            ("page_access", page_access),
            ("runtime", self.symbols["rt_host_table"]),
        ):
            _WORD.pack_into(view, HEADER[field].offset, value)
        _HALF.pack_into(view, HEADER["mxcsr"].offset, MXCSR_DEFAULT)
        _HALF.pack_into(view, HEADER["x87_control"].offset, CONTROL_DEFAULT)

    def caught_signals(self) -> list[CaughtSignal]:
        """The signals that came since the last time, oldest first."""
        found = [
            CaughtSignal(_WORD.unpack_from(slot, Ring.ENV)[0], slot[Ring.INFO :][: Ring.INFO_BYTES])
            for slot in self.signals.take()
        ]
        lost = self.signals.take_lost()
        found += (
            CaughtSignal(0, _HALF.pack(bit + 1).ljust(Ring.INFO_BYTES, b"\0"))
            for bit in range(64)
            if lost >> bit & 1
        )
        return found

    def after_fork_in_child(self) -> None:
        """What the parent's handlers noted is the parent's."""
        self.signals.forget()


class NativeMmu:
    """The functions of softmmu.ll that Python calls; each takes env first.

    `select`: have TLB and jump cache go with mode and privilege; `flush`, `flush_page`: forget
    translations of addresses; `protect`: a physical page has code from now on; `where`: Head.WHERE
    for a key, or -1; `translate` (TLB, linear, access): a physical address, or -1.
    """

    def __init__(self, runtime: Runtime, at: dict[str, int]) -> None:
        self._runtime = runtime
        pointer, word, half = ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint32
        # The page walk may come back to Python for a device, so all of them keep the GIL.
        self.select: Callable[[int], None] = ctypes.PYFUNCTYPE(None, pointer)(at["mmu_select"])
        self.flush: Callable[[int], None] = ctypes.PYFUNCTYPE(None, pointer)(at["mmu_flush"])
        self.flush_page: Callable[[int, int], None]
        self.flush_page = ctypes.PYFUNCTYPE(None, pointer, word)(at["mmu_flush_page"])
        self.protect: Callable[[int, int], None]
        self.protect = ctypes.PYFUNCTYPE(None, pointer, word)(at["mmu_protect"])
        self.where: Callable[[int, int], int]
        self.where = ctypes.PYFUNCTYPE(word, pointer, word)(at["mmu_where"])
        self.translate: Callable[[int, int, int, int], int]
        self.translate = ctypes.PYFUNCTYPE(word, pointer, half, word, half)(at["mmu_translate"])
        self.routine: Callable[[int, int], None]
        self.routine = ctypes.PYFUNCTYPE(None, pointer, pointer)(at["mmu_routine"])
        """Run code (the second argument) that returns."""
        self._kept: list[Any] = []

    def connect(
        self, walk: int, read: Callable[[int, int], int], write: Callable[[int, int, int], None]
    ) -> None:
        """The page walk's code, and who answers for devices: (address, size), (address, value,
        size); neither may raise.
        """
        word, half = ctypes.c_uint64, ctypes.c_uint32
        self._kept = [
            ctypes.CFUNCTYPE(word, word, half)(read),
            ctypes.CFUNCTYPE(None, word, word, half)(write),
        ]
        for name, function in zip(("mmu_on_read", "mmu_on_write"), self._kept, strict=True):
            self._runtime.poke(name, ctypes.cast(function, ctypes.c_void_p).value or 0)
        self._runtime.poke("mmu_walk", walk)


class RingReader:
    """The reading side of a ring; any Python thread may read."""

    def __init__(self, view: memoryview) -> None:
        self._view = view
        self._lock = Lock()

    def _get(self, offset: int) -> int:
        value: int = _WORD.unpack_from(self._view, offset)[0]
        return value

    def take(self) -> list[bytes]:
        """The slots that are ready, oldest first."""
        if self._get(Ring.TAIL) == self._get(Ring.HEAD):
            return []
        with self._lock:
            return list(self._ready())

    def _ready(self) -> Iterator[bytes]:
        tail = self._get(Ring.TAIL)
        while True:
            at = Ring.FIRST_SLOT + tail % Ring.SLOTS * Ring.SLOT_BYTES
            if self._get(at + Ring.READY) != tail + 1:
                return
            yield bytes(self._view[at : at + Ring.SLOT_BYTES])
            tail += 1
            _WORD.pack_into(self._view, Ring.TAIL, tail)

    def take_lost(self) -> int:
        """The bits of what did not fit."""
        lost = self._get(Ring.LOST)
        if lost:
            _WORD.pack_into(self._view, Ring.LOST, 0)
        return lost

    def forget(self) -> None:
        """Drop everything; in a process without other threads only."""
        self._lock = Lock()
        _WORD.pack_into(self._view, Ring.TAIL, self._get(Ring.HEAD))
        _WORD.pack_into(self._view, Ring.LOST, 0)
