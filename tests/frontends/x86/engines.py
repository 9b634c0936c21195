"""Our engines, run on arrays of cases (case.py) as the host is.

Native engines run a whole array without Python; the evaluator goes case by case.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Sequence
from typing import Any, Protocol

from frontends.x86.frontend import I386Frontend, X86Frontend, X8664Frontend
from frontends.x86.state import ASK_INT80, SEGMENTS
from tcg.engine import Exit
from tcg.faults import GuestFault
from tcg.frontend import SYSTEM_CALL, GuestException
from tcg.log import Log
from tests.frontends.x86 import case
from tests.frontends.x86.batch import Batch, address
from tests.frontends.x86.case import SIGFPE, SIGILL, SIGSEGV, SIGTRAP
from tests.frontends.x86.host import (
    FS_BASE_16,
    FS_BASE_32,
    GS_BASE_16,
    GS_BASE_32,
    PLACES,
    SELECTORS,
)
from tests.frontends.x86.trial import Trial

# fmt: off
SIGNALS: dict[GuestException, tuple[int, int]] = {
    GuestException.ILLEGAL:    (SIGILL, 6),
    GuestException.PRIVILEGED: (SIGSEGV, 13),
    GuestException.TRAP:       (SIGTRAP, 1),
    GuestException.FLOAT:      (SIGFPE, 16),
    GuestException.ALIGNMENT:  (SIGSEGV, 13),
    GuestException.BREAKPOINT: (SIGTRAP, 3),
    GuestException.DIVIDE:     (SIGFPE, 0),
    GuestException.OVERFLOW:   (SIGSEGV, 4),
    GuestException.BOUND:      (SIGSEGV, 5),
    GuestException.PROTECTION: (SIGSEGV, 13),
    GuestException.SIMD_FLOAT: (SIGFPE, 19),
}
"""What Linux makes of an exception: a signal; and the processor's number of it."""
# fmt: on

PAGE_FAULT = 14
STOP_BYTES = 2
_JOB = struct.Struct("<14Q")
FPU_SLOTS = (
    "fpu_top", "fpu_cw", "fpu_full", "fpu_traps", "fpu_c0", "fpu_c1", "fpu_c2", "fpu_c3", "fpu_sf",
    "mxcsr_enabled",
)  # fmt: skip
FLAG_SLOTS = ("cf", "pf", "af", "zf", "sf", "df", "of", "eflags")


class Code16Frontend(X86Frontend):
    """16-bit code on a 32-bit CPU."""

    def __init__(self) -> None:
        super().__init__(16, 32)


FRONTENDS = {16: Code16Frontend, 32: I386Frontend, 64: X8664Frontend}


class Memory(Protocol):
    """Guest memory of either kind; `at` is the host address of a guest address."""

    def write(self, address: int, data: bytes) -> None: ...
    def at(self, address: int) -> int: ...


class FlatMemory:
    """The areas of code and data, for the evaluator."""

    def __init__(self, mode: int) -> None:
        place = PLACES[mode]
        self._areas = {
            place.code: bytearray(place.code_size), place.data: bytearray(place.data_size),
        }  # fmt: skip

    def _find(self, address: int, size: int, write: bool = False) -> tuple[bytearray, int]:
        for start, area in self._areas.items():
            if start <= address < start + len(area):
                if address + size <= start + len(area):
                    return area, address - start
                raise GuestFault(start + len(area), write)
        raise GuestFault(address, write)

    def fetch(self, address: int, length: int) -> bytes:
        area, at = self._find(address, 1)
        return bytes(area[at : at + length])

    def may_change(self, address: int) -> bool:
        return False

    def read(self, address: int, size: int) -> bytes:
        area, at = self._find(address, size)
        return bytes(area[at : at + size])

    def write(self, address: int, data: bytes) -> None:
        area, at = self._find(address, len(data), True)
        area[at : at + len(data)] = data

    def at(self, address: int) -> int:
        area, at = self._find(address, 1)
        return ctypes.addressof(ctypes.c_char.from_buffer(area)) + at


_WIDE: list[Any] = []
"""The 64-bit address space that is in use: the host has room for only one."""


def close_wide_memory() -> None:
    """Give up the 64-bit engine that there is; nobody may use it any more."""
    while _WIDE:
        _WIDE.pop().close()
    _ENGINES.clear()


_ENGINES: dict[tuple[str, int], OurEngine] = {}


def engine_of(name: str, mode: int) -> OurEngine:
    """An engine that tests share, which set all of its state; to be asked for again each time."""
    found = _ENGINES.get((name, mode))
    if found is None:
        made = ENGINES[name](mode)
        found = _ENGINES[name, mode] = made
    return found


class NativeMemory:
    """The same in a guest address space as programs have it."""

    def __init__(self, mode: int) -> None:
        from user_mode.areas import MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE
        from user_mode.memory import GuestMemory

        reach = 1 << 46 if mode == 64 else 1 << 32
        if mode == 64:
            close_wide_memory()
        self.guest = GuestMemory(reach, "<", reach - 0x1_0000)
        if mode == 64:
            _WIDE.append(self.guest)
        place = PLACES[mode]
        flags = MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS
        self._code = place.code, place.code_size
        for start, size in (self._code, (place.data, place.data_size)):
            self.guest.mmap(start, size, 3, flags, -1, 0)
        self._rights = 5
        self.guest.mprotect(*self._code, self._rights)

    def let_code_change(self) -> None:
        """From here on the guest may write to its code."""
        self._rights = 7
        self.guest.mprotect(*self._code, self._rights)

    def write(self, address: int, data: bytes) -> None:
        start, size = self._code
        if not start <= address < start + size:
            self.guest.write(address, data)
            return
        # Code that the guest could write to itself would be compiled in another manner.
        self.guest.mprotect(start, size, 3)
        self.guest.write(address, data)
        self.guest.mprotect(start, size, self._rights)

    def at(self, address: int) -> int:
        return self.guest.base + address


class OurEngine:
    """One of our engines with its memory and a CPU.

    `after`: where cases come out.
    """

    def __init__(self, mode: int, memory: Any, engine: Any, is_native: bool, jit: bool) -> None:
        self.mode = mode
        self.memory = memory
        self.engine = engine
        self.is_native = is_native
        self.jit = jit
        self.frontend: X86Frontend = engine.frontend
        self.cpu = engine.new_cpu()
        self.batch = Batch(0)
        self._keep = bytearray(8 << 20)
        self.after = memoryview(self._keep)
        self._copies = {vectors: self._copies_of(vectors) for vectors in (False, True)}
        state, slots = self.frontend.state, self.frontend.layout.slots
        self._flags = struct.pack("<8i", *(slots[name].offset for name in FLAG_SLOTS))
        fpu = [state.fpr.offset, *(slots[name].offset for name in FPU_SLOTS)]
        self._fpu = struct.pack("<11i", *fpu)
        pairs = [SIGNALS.get(GuestException(i), (0, i)) if i else (0, 0) for i in range(_MOST + 1)]
        self._signals = struct.pack(f"<{2 * len(pairs)}i", *(n for pair in pairs for n in pair))
        self.checked = self.frontend.place.endswith("checked")
        self.slow = 0
        """How many cases had to be run through Python."""

    def _copies_of(self, vectors: bool) -> bytes:
        """%copy entries: where in a case, where in env, how many bytes."""
        state, found = self.frontend.state, []
        slots = self.frontend.layout.slots
        count = 16 if state.width == 64 else 8
        size = state.width // 8
        if size == 8:
            found.append((case.GPR, state.gpr.offset, 8 * count))
            found += [
                (case.FS_BASE, slots["fs_base"].offset, 8),
                (case.GS_BASE, slots["gs_base"].offset, 8),
            ]
        else:
            found += [(case.GPR + 8 * i, state.gpr.slots[i].offset, 4) for i in range(count)]
        if vectors:
            found += [
                (case.XMM, state.xmm.offset, 16 * count),
                (case.YMMH, state.ymmh.offset, 16 * count),
            ]
        return b"".join(struct.pack("<4i", *one, 0) for one in (*found, (0, 0, 0)))

    def be_exact(self) -> None:
        """Faults in regions find all registers as they are."""
        if self.jit:
            self.engine.set_exact(True)

    # -- code ------------------------------------------------------------------------------

    def write_code(self, trials: Sequence[Trial], stop: bytes) -> None:
        """Put the code of trials into memory, and have their handlers made in one go."""
        from tests.frontends.x86.trial import SLOT

        first, last = trials[0].slot, trials[-1].slot + SLOT
        image = bytearray(last - first)
        for trial in trials:
            image[trial.slot - first : trial.slot - first + SLOT] = trial.image(stop)
        self.memory.write(first, bytes(image))
        self.engine.invalidate(first, last)
        if self.is_native:
            self._make_handlers(trials)

    def _make_handlers(self, trials: Sequence[Trial]) -> None:
        translator = self.engine.code.translator
        missing = {}
        for trial in trials:
            decoded = self.frontend.decode(trial.code, 0, trial.pc)
            assert decoded is not None
            form = translator.forms.find(decoded, trial.pc)
            if not form.address:
                missing[form.symbol] = form
        if missing:
            translator.maker.make_handlers(list(missing.values()))

    # -- running -----------------------------------------------------------------------------

    def _job(self, trial: Trial, before: memoryview, record: int) -> bytes:
        enter = 0
        if self.is_native:
            enter = ctypes.cast(self.engine.backend.enter, ctypes.c_void_p).value or 0
        self._parts = [
            ctypes.create_string_buffer(part)
            for part in (self._copies[trial.vectors], self._flags, self._fpu, self._signals)
        ]
        copies, flags, fpu, signals = map(ctypes.addressof, self._parts)
        return _JOB.pack(
            self.cpu.address, record, enter, address(before), address(self.after),
            case.WINDOW + trial.window, self.memory.at(trial.window_at), trial.window, copies,
            flags, fpu if trial.vectors else 0, signals, trial.pc, self.frontend.address_type.mask,
        )  # fmt: skip

    def run(self, trial: Trial, before: memoryview, count: int) -> None:
        """Run a trial from `count` cases; what comes out is in `after`."""
        self._set_segments()
        if self.is_native:
            self.engine.backend.runtime.catch_faults()
            self._run_native(trial, before, count)
            return
        job = ctypes.create_string_buffer(self._job(trial, before, 0))
        for number in range(count):
            self._run_one(trial, ctypes.addressof(job), number)

    def _set_segments(self) -> None:
        slots = self.frontend.layout.slots
        for name, value in zip(SEGMENTS, SELECTORS[self.mode], strict=True):
            self.cpu.set(slots[name], value)
        if self.mode != 64:
            bases = (FS_BASE_32, GS_BASE_32) if self.mode == 32 else (FS_BASE_16, GS_BASE_16)
            self.cpu.set(slots["fs_base"], bases[0])
            self.cpu.set(slots["gs_base"], bases[1])

    def _run_native(self, trial: Trial, before: memoryview, count: int) -> None:
        job = ctypes.create_string_buffer(self._job(trial, before, 0))
        self._run_one(trial, ctypes.addressof(job), 0)  # here it gets hot
        number = 1
        while number < count:
            record = self._record(trial)
            if record:
                job = ctypes.create_string_buffer(self._job(trial, before, record))
                number = self.batch.run(ctypes.addressof(job), number, count)
            else:
                job = ctypes.create_string_buffer(self._job(trial, before, 0))
            if number < count:
                self._run_one(trial, ctypes.addressof(job), number)
                number += 1
        if len(trial.code) > self.frontend.max_size:
            self._find_places(trial, count)

    def _find_places(self, trial: Trial, count: int) -> None:
        """Where exceptions were, in a trial of more than one instruction."""
        stride = case.WINDOW + trial.window
        for at in range(0, count * stride, stride):
            after = self.after[at : at + stride]
            record = int.from_bytes(after[case.DETAIL : case.DETAIL + 8], "little")
            start = case.BY_NAME["pc"].get(after) == trial.pc
            if case.BY_NAME["ended"].get(after) and start and record:
                with self.engine.world.lock:
                    pc = self.engine.code.pc_of_record(record)
                case.BY_NAME["pc"].put(after, pc)

    def _record(self, trial: Trial) -> int:
        try:
            with self.engine.world.lock:
                return int(self.engine.code.way_in(self.engine.code.translated(trial.pc)))
        except GuestFault:
            return 0

    def _run_one(self, trial: Trial, job: int, number: int) -> None:
        """One case through Python."""
        self.slow += 1
        if self.cpu.has_event:
            # Of a run that was broken off.
            self.cpu.pc = trial.pc
            self.engine.run(self.cpu)
        self.batch.load(job, number)
        self.cpu.set_header("exit_rec", 0)
        self.cpu.pc = trial.pc
        left = self.engine.run(self.cpu)
        while left.kind == "event":  # code has changed
            left = self.engine.run(self.cpu)
        self.batch.finish(job, number)
        stride = case.WINDOW + trial.window
        self._note(self.after[number * stride : (number + 1) * stride], left)

    def _note(self, after: memoryview, left: Exit) -> None:
        ended = trap = where = 0
        pc = left.pc
        if left.kind == "syscall":
            pc -= STOP_BYTES if left.code in (SYSTEM_CALL, ASK_INT80) else 0
        elif left.kind == "exception":
            ended, trap = SIGNALS[GuestException(left.code)]
        elif left.kind == "fault":
            ended, trap, where = left.signal, PAGE_FAULT, left.address
        else:
            trap = 99
        for name, value in (("ended", ended), ("exit", trap), ("address", where), ("pc", pc)):
            case.BY_NAME[name].put(after, value & case.MASKS[name])


_MOST = max(GuestException)


def interp(mode: int, checked: bool = False) -> OurEngine:
    """The evaluator."""
    from tcg.interp import Interpreter

    memory = FlatMemory(mode)
    engine = Interpreter(_frontend(mode, checked), memory, Log())
    return OurEngine(mode, memory, engine, False, False)


def native(mode: int, jit: bool, checked: bool = False) -> OurEngine:
    """Native code: handlers alone, or handlers and regions of whatever is entered once."""
    from backend.llvm.cache import open_cache
    from backend.llvm.host import LlvmBackend
    from tcg.engine import Engine, EngineOptions

    frontend, memory, log = _frontend(mode, checked), NativeMemory(mode), Log()
    backend = LlvmBackend(frontend.place, frontend.pc_shift, open_cache(os.environ), log)
    backend.waits = True
    options = EngineOptions(jit, hot_entries=1)
    engine = Engine(frontend, memory.guest, backend, options, log)
    memory.guest.code_changed = engine.invalidate
    return OurEngine(mode, memory, engine, True, jit)


def _frontend(mode: int, checked: bool) -> X86Frontend:
    frontend: X86Frontend = FRONTENDS[mode]()
    if checked:
        frontend.check_floats()
    return frontend


class Make(Protocol):
    """Makes an engine for code of a mode; `checked`: it looks for SSE's exceptions."""

    def __call__(self, mode: int, checked: bool = False) -> OurEngine: ...


ENGINES: dict[str, Make] = {
    "interp": interp,
    "threaded": lambda mode, checked=False: native(mode, False, checked),
    "jit": lambda mode, checked=False: native(mode, True, checked),
}
"""How to make our engines, by name."""
