"""The interpreting engine for a whole machine: blocks lifted to IR, the IR evaluated in Python.

It does what the frontend's functions and the op table say and nothing else, and so it is the oracle
of the native one.  Paging is the guest's walk, evaluated as well; what it finds is kept until it is
flushed.  A block is known by where its code is in physical memory, where its code segment begins,
its offset there, and the mode; it goes when a store, or a device, hits a chunk of its code.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from tcg import ops
from tcg.cpu import Cpu
from tcg.engine import Exit
from tcg.evaluate import Evaluator, Left, Source, State
from tcg.faults import GuestFault
from tcg.floats import CONTROL_DEFAULT
from tcg.frontend import Decoded, Frontend, GuestException
from tcg.interp import MXCSR_DEFAULT
from tcg.ir import Access, Function, Value
from tcg.log import Log
from tcg.reading import PAGE
from tcg.state import HEADER, Reason
from tcg.system import (
    AC,
    FETCH,
    FLUSH_ALL,
    FLUSH_PAGE,
    PHYSICAL,
    READ,
    SYSTEM,
    USER,
    WRITE,
    Guest,
    PageFault,
)
from tcg.translator import MAX_BLOCK_INSTRUCTIONS
from tcg.types import VOID

CHUNK_SHIFT = 6
"""Code is watched by chunks of 64 bytes."""
FAULT, NOT_CANONICAL = 1 << 31, 1 << 30
"""Bits of `walk_fault`."""
INDEXES = {0: 0, 1: USER, 2: AC}
"""What `mmu_index` adds to `walk_access`."""
SMALL_PAGE = 12

_HEADER = {
    name: HEADER[name].offset >> 2
    for name in ("mode", "mmu_index", "event", "walk_access", "walk_size", "walk_fault")
}
_MODE, _INDEX, _EVENT = (_HEADER[name] for name in ("mode", "mmu_index", "event"))
_CODE_BASE = (HEADER["code_space"].offset >> 2) + 1
_LINEAR, _PHYSICAL, _COUNT = (
    HEADER[name].offset >> 3 for name in ("walk_linear", "walk_physical", "instructions")
)


class Physical(Protocol):
    """Physical memory as the processor reaches it, within a page."""

    def load(self, address: int, size: int) -> int:
        """`size` bytes, little endian."""

    def store(self, address: int, value: int, size: int) -> None:
        """Write `size` bytes, little endian."""

    def read(self, address: int, length: int) -> bytes:
        """Code, which no device has."""

    def watch_code(self, address: int) -> None:
        """Say from now on when a device writes to the page of `address`."""


class CodeWrite(GuestFault):
    """A store would change the block that it is in; it has not been done."""


class Refused(GuestFault):
    """Paging says no: `code` is what `walk_fault` holds."""

    def __init__(self, address: int, is_write: bool, code: int) -> None:
        super().__init__(address, is_write)
        self.code = code


class _PhysicalAccess:
    """Physical memory as the evaluator sees memory: the page walk's."""

    def __init__(self, mmu: Mmu) -> None:
        self._mmu = mmu

    def read(self, address: int, size: int) -> bytes:
        return self._mmu.physical.load(address, size).to_bytes(size, "little")

    def write(self, address: int, data: bytes) -> None:
        if address == FLUSH_PAGE:
            self._mmu.flush(int.from_bytes(data, "little"))
        elif address == FLUSH_ALL:
            self._mmu.flush(None)
        else:
            self._mmu.store(address, data)


class _SystemAccess:
    """Memory as the supervisor sees it, whatever privilege is in force; AC does not count."""

    def __init__(self, mmu: Mmu) -> None:
        self._mmu = mmu

    def read(self, address: int, size: int) -> bytes:
        return self._mmu.read_as(0, address, size)

    def write(self, address: int, data: bytes) -> None:
        self._mmu.write_as(0, address, data)


class _LockedAccess:
    """Memory that is read, changed and written: it faults as a write."""

    def __init__(self, mmu: Mmu) -> None:
        self._mmu = mmu

    def read(self, address: int, size: int) -> bytes:
        self._mmu.check_write(address, size)
        return self._mmu.read(address, size)

    def write(self, address: int, data: bytes) -> None:
        self._mmu.write(address, data)


class Mmu:
    """One CPU's view of memory by linear addresses.

    What the walk found is kept for each privilege and kind of access: page to physical page.
    """

    def __init__(
        self,
        state: State,
        physical: Physical,
        walk: Callable[[State, Any], Left],
        written: Callable[[int, int], None],
    ) -> None:
        """`written` is told [start, end) of each store before it is done; may raise CodeWrite."""
        self.state = state
        self.physical = physical
        self.physically = _PhysicalAccess(self)
        self.by_system = _SystemAccess(self)
        self.locked = _LockedAccess(self)
        self._walk = walk
        self._written = written
        self._found: list[dict[int, int]] = [{} for _ in range(16)]
        self._has_large = False
        self.refused = 0
        """The `walk_fault` of the access that failed last."""

    # -- addresses -----------------------------------------------------------------------------

    def translate(self, linear: int, access: int) -> int:
        """The physical address; raises Refused."""
        page = self._found[access].get(linear >> 12)
        if page is None:
            page = self._look_up(linear, access)
        return page | linear & PAGE - 1

    def _look_up(self, linear: int, access: int) -> int:
        m32, m64 = self.state.m32, self.state.m64
        m64[_LINEAR] = linear & -PAGE & (1 << 64) - 1
        m32[_HEADER["walk_access"]] = access
        self._walk(self.state, self)
        if fault := m32[_HEADER["walk_fault"]]:
            self.refused = fault
            raise Refused(linear, bool(access & WRITE), fault)
        self._has_large |= m32[_HEADER["walk_size"]] > SMALL_PAGE
        page = self._found[access][linear >> 12] = m64[_PHYSICAL] & -PAGE
        return page

    def flush(self, linear: int | None) -> None:
        """Forget a page, or all."""
        for found in self._found:
            if linear is None or self._has_large:
                found.clear()
            else:
                found.pop(linear >> 12, None)

    # -- accesses ------------------------------------------------------------------------------

    def read(self, address: int, size: int) -> bytes:
        """By the privilege in force."""
        return self.read_as(INDEXES[self.state.m32[_INDEX]], address, size)

    def write(self, address: int, data: bytes) -> None:
        """By the privilege in force."""
        self.write_as(INDEXES[self.state.m32[_INDEX]], address, data)

    def check_write(self, address: int, size: int) -> None:
        """Raise Refused unless so many bytes can be written by the privilege in force."""
        access = WRITE | INDEXES[self.state.m32[_INDEX]]
        self.translate(address, access)
        if address % PAGE + size > PAGE:
            self.translate(self._after(address, PAGE - address % PAGE), access)

    def read_as(self, privilege: int, address: int, size: int) -> bytes:
        """`size` bytes at a linear address, which may lie across a page's end."""
        here = PAGE - address % PAGE
        place = self.translate(address, READ | privilege)
        if size <= here:
            return self.physical.load(place, size).to_bytes(size, "little")
        second = self.translate(self._after(address, here), READ | privilege)
        return self._load(place, here) + self._load(second, size - here)

    def write_as(self, privilege: int, address: int, data: bytes) -> None:
        """Both pages are looked at before anything is written."""
        here = PAGE - address % PAGE
        place = self.translate(address, WRITE | privilege)
        if len(data) <= here:
            self.store(place, data)
            return
        second = self.translate(self._after(address, here), WRITE | privilege)
        self.store(place, data[:here])
        self.store(second, data[here:])

    def _after(self, address: int, here: int) -> int:
        """The next page, for 32-bit addresses perhaps the first one again."""
        following = address + here
        return 0 if following in (1 << 32, 1 << 64) else following

    def _load(self, place: int, size: int) -> bytes:
        return self.physical.load(place, size).to_bytes(size, "little")

    def store(self, place: int, data: bytes) -> None:
        """Write physical memory."""
        self._written(place, place + len(data))
        self.physical.store(place, int.from_bytes(data, "little"), len(data))


_MEMORIES = {SYSTEM: "memory.by_system", PHYSICAL: "memory.physically"}


class _Source(Source):
    """The Python of IR whose memory accesses say by which address space."""

    def _address(self, address: Value) -> str:
        return self.value(address)

    def _memory(self, inst: Value) -> str:
        access: Access = inst.imm
        return _MEMORIES.get(access.mmu, "memory")

    def _accessed(self, inst: Value, text: str, name: str) -> str:
        memory = self._memory(inst)
        return text if memory == "memory" else text.replace(f"{name}(", f"{memory}.{name}(", 1)

    def _load(self, inst: Value) -> str:
        return self._accessed(inst, super()._load(inst), "read")

    def _store(self, inst: Value) -> str:
        return self._accessed(inst, super()._store(inst), "write")

    def _cas(self, inst: Value) -> str:
        return super()._cas(inst).replace("cas(memory,", f"cas({self._locked(inst)},", 1)

    def _rmw(self, inst: Value) -> str:
        return super()._rmw(inst).replace("rmw(memory,", f"rmw({self._locked(inst)},", 1)

    def _locked(self, inst: Value) -> str:
        memory = self._memory(inst)
        return "memory.locked" if memory == "memory" else memory


class SystemEvaluator(Evaluator):
    """Evaluates functions that run in an `Mmu`."""

    source = _Source


class Key(NamedTuple):
    """What tells a block from others."""

    physical: int
    base: int
    pc: int
    mode: int


class Block(NamedTuple):
    """A lifted block: how to run it, the instructions' offsets, the physical chunks of its code."""

    run: Callable[[State, Mmu], Left]
    pcs: tuple[int, ...]
    chunks: tuple[int, ...]


class SystemInterpreter:
    """Implements tcg.system.SystemRunner in plain Python."""

    def __init__(
        self, guest: Guest, physical: Physical, log: Log, one_instruction: bool = False
    ) -> None:
        self.guest = guest
        self.physical = physical
        self.log = log
        self.limit = 1 if one_instruction else MAX_BLOCK_INSTRUCTIONS
        self.evaluator = SystemEvaluator()
        self._walk = self.evaluator.translate(guest.walk)
        self._deliveries: dict[int, Callable[[State, Mmu], Left]] = {}
        self._blocks: dict[Key, Block] = {}
        self._single: dict[Key, Block] = {}
        self._by_chunk: dict[int, set[Key]] = {}
        self._current: tuple[int, ...] = ()
        self._hit_itself = False
        self._mmus: dict[Cpu, Mmu] = {}
        self._tracing = log.wants("exec")
        self.stop_at: int | None = None

    def new_cpu(self) -> Cpu:
        """A CPU with all slots zero."""
        layout = self.guest.layout
        buffer = (ctypes.c_char * (-(-layout.size // 64) * 64))()
        view = memoryview(buffer).cast("B")
        cpu = Cpu(layout, view, ctypes.addressof(buffer))
        cpu.set_header("mxcsr", MXCSR_DEFAULT)
        cpu.set_header("x87_control", CONTROL_DEFAULT)
        self._mmus[cpu] = Mmu(State(view), self.physical, self._walk, self._store)
        return cpu

    def kick(self, cpu: Cpu) -> None:
        """Have `cpu` leave its guest code soon with an `event` exit."""
        cpu.kick()

    # -- running -------------------------------------------------------------------------------

    def run(self, cpu: Cpu, deliver: bool = False) -> Exit:
        """Run from cpu.pc, in the mode that the state says, until the client must act."""
        mmu = self._mmus[cpu]
        if deliver and (left := self._deliver(cpu, mmu)) is not None:
            return left
        m32 = mmu.state.m32
        while not m32[_EVENT]:
            if self.stop_at is not None and not self._may_go_on(mmu.state, self.stop_at):
                return self._run_last(cpu, mmu, self.stop_at)
            if (left := self._run_block(cpu, mmu, self._blocks, self.limit)) is not None:
                return left
        cpu.clear_event()
        return Exit("event", cpu.pc)

    def _may_go_on(self, state: State, stop_at: int) -> bool:
        """Whether a whole block surely ends before that."""
        return bool(state.m64[_COUNT] + self.limit <= stop_at)

    def _run_last(self, cpu: Cpu, mmu: Mmu, stop_at: int) -> Exit:
        """The instructions up to the place, one by one."""
        m64, m32 = mmu.state.m64, mmu.state.m32
        while m64[_COUNT] < stop_at and not m32[_EVENT]:
            if (left := self._run_block(cpu, mmu, self._single, 1)) is not None:
                return left
        cpu.clear_event()
        return Exit("event", cpu.pc)

    def step(self, cpu: Cpu) -> Exit:
        """Run one instruction, whatever events are pending."""
        left = self._run_block(cpu, self._mmus[cpu], self._single, 1)
        return left or Exit("event", cpu.pc)

    def _deliver(self, cpu: Cpu, mmu: Mmu) -> Exit | None:
        mode = mmu.state.m32[_MODE]
        delivery = self._deliveries.get(mode)
        if delivery is None:
            delivery = self.evaluator.translate(self.guest.delivery(mode))
            self._deliveries[mode] = delivery
        self._current = ()
        left = delivery(mmu.state, mmu)
        if left.reason == Reason.LOOKUP:
            cpu.pc = left.pc
            return None
        return self._exit(cpu, mmu, left._replace(pc=cpu.pc))

    def _run_block(self, cpu: Cpu, mmu: Mmu, blocks: dict[Key, Block], limit: int) -> Exit | None:
        """One block; None if the guest just goes on."""
        state, pc = mmu.state, cpu.pc
        base, mode = state.m32[_CODE_BASE], state.m32[_MODE]
        try:
            place = mmu.translate(self._linear(base, pc), FETCH | INDEXES[state.m32[_INDEX]])
            key = Key(place, base, pc, mode)
            block = blocks.get(key) or self._lift(mmu, key, blocks, limit)
        except Refused as fault:
            return self._fault(cpu, cpu.pc, fault.address, fault.code, is_write=False)
        if self._tracing:
            self.log.write("exec", f"Trace: {base:#x}:{pc:#x} {mode:#x}\n", pc)
        self._current = block.chunks if limit > 1 else ()
        left = block.run(state, mmu)
        self._count(state, block, left)
        if left.reason == Reason.LOOKUP:
            cpu.pc = left.pc
            return None
        if left.reason == Reason.FAULT and self._hit_itself:
            self._hit_itself = False
            cpu.pc = left.pc
            return self._run_block(cpu, mmu, self._single, 1)
        return self._exit(cpu, mmu, left)

    def _exit(self, cpu: Cpu, mmu: Mmu, left: Left) -> Exit:
        cpu.pc = left.pc
        match left.reason:
            case Reason.ASK:
                return Exit("syscall", left.pc, left.info)
            case Reason.EXCEPTION:
                return Exit("exception", left.pc, left.info)
            case Reason.FAULT:
                return self._fault(cpu, left.pc, left.info, mmu.refused, left.is_write)
            case _:
                cpu.clear_event()
                return Exit("event", left.pc)

    def _fault(self, cpu: Cpu, pc: int, address: int, code: int, is_write: bool) -> Exit:
        if code == NOT_CANONICAL:
            cpu.set(self.guest.layout.slots["error_code"], 0)
            return Exit("exception", pc, GuestException.PROTECTION)
        return Exit("fault", pc, code & ~FAULT, address, is_write)

    def _count(self, state: State, block: Block, left: Left) -> None:
        """Instructions that were done: all, or those before one that faulted."""
        done = len(block.pcs)
        if left.reason in (Reason.FAULT, Reason.EXCEPTION) and left.pc in block.pcs:
            done = block.pcs.index(left.pc)
        state.m64[_COUNT] += done

    def _linear(self, base: int, pc: int) -> int:
        return base + pc & 0xFFFF_FFFF if base else pc

    # -- lifting -------------------------------------------------------------------------------

    def _lift(self, mmu: Mmu, key: Key, blocks: dict[Key, Block], limit: int) -> Block:
        """The block at a place, as Python that ends where the guest goes on; raises Refused."""
        frontend = self.guest.frontend(key.mode)
        code = _Code(self, mmu, frontend, key)
        pc = key.pc
        function = Function("region", f"I_{pc:x}")
        b = frontend.new_builder(function)
        pcs: list[int] = []
        at = 0
        while not b.block.is_closed:
            decoded = code.decode(at) if len(pcs) < limit else None
            if decoded is None and not pcs:
                b.insn(pc)
                b.raise_(GuestException.ILLEGAL, pc)
                pcs.append(pc)
            elif decoded is None:
                b.emit(ops.GOTO, VOID, (), (pc + at, ""))
            else:
                b.insn(pc + at)
                frontend.lift(b, decoded.row, decoded.fields, pc + at)
                pcs.append(pc + at)
                at += decoded.size
        chunks = code.chunks(max(at, 1))
        block = Block(self.evaluator.translate(function), tuple(pcs), chunks)
        blocks[key] = block
        for chunk in chunks:
            self._by_chunk.setdefault(chunk, set()).add(key)
        return block

    # -- what changes code -----------------------------------------------------------------------

    def _store(self, start: int, end: int) -> None:
        """Called before a store: blocks in its chunks go; raises CodeWrite."""
        for chunk in range(start >> CHUNK_SHIFT, (end - 1 >> CHUNK_SHIFT) + 1):
            if chunk in self._by_chunk:
                if chunk in self._current:
                    self._hit_itself = True
                    raise CodeWrite(start, is_write=True)
                self._drop(chunk)

    def _drop(self, chunk: int) -> None:
        for key in self._by_chunk.pop(chunk):
            self._blocks.pop(key, None)
            self._single.pop(key, None)

    def memory_changed(self, start: int, end: int) -> None:
        """Somebody else wrote to physical memory in [start, end)."""
        first, last = start >> CHUNK_SHIFT, end - 1 >> CHUNK_SHIFT
        for chunk in [one for one in self._by_chunk if first <= one <= last]:
            self._drop(chunk)

    def remapped(self) -> None:
        """The physical address space shows other memory than before somewhere."""
        self._blocks.clear()
        self._single.clear()
        self._by_chunk.clear()

    # -- for the client --------------------------------------------------------------------------

    def translate(self, cpu: Cpu, linear: int, access: int) -> int:
        """The physical address; raises PageFault."""
        try:
            return self._mmus[cpu].translate(linear, access)
        except Refused as fault:
            raise PageFault(linear, fault.code & ~FAULT) from None

    def read_linear(self, cpu: Cpu, linear: int, size: int, user: bool = False) -> bytes:
        """Memory at a linear address; raises PageFault before anything was read."""
        places = self._places(cpu, linear, size, READ | (USER if user else 0))
        return b"".join(
            self.physical.load(place, length).to_bytes(length, "little") for place, length in places
        )

    def write_linear(self, cpu: Cpu, linear: int, data: bytes, user: bool = False) -> None:
        """Write memory at a linear address; raises PageFault before anything was written."""
        done = 0
        self._current = ()
        mmu = self._mmus[cpu]
        for place, length in self._places(cpu, linear, len(data), WRITE | (USER if user else 0)):
            mmu.store(place, data[done : done + length])
            done += length

    def _places(self, cpu: Cpu, linear: int, size: int, access: int) -> list[tuple[int, int]]:
        """An access as physical pieces."""
        pieces = []
        while size > 0:
            length = min(size, PAGE - linear % PAGE)
            pieces.append((self.translate(cpu, linear, access), length))
            linear += length
            size -= length
        return pieces

    def flush_tlb(self, cpu: Cpu, linear: int | None = None) -> None:
        """Forget the translation of a page, or all of them."""
        self._mmus[cpu].flush(linear)

    def statistics(self) -> dict[str, object]:
        """Counts of what was lifted."""
        return {"blocks": len(self._blocks)}


class _Code:
    """The code of a block: what is left of its page, and of the next one if it is needed."""

    def __init__(self, engine: SystemInterpreter, mmu: Mmu, frontend: Frontend, key: Key) -> None:
        self._engine, self._mmu, self._frontend, self._key = engine, mmu, frontend, key
        self._linear = engine._linear(key.base, key.pc)
        self._page_size = PAGE - self._linear % PAGE
        self._bytes = engine.physical.read(key.physical, self._page_size)
        self._second: int | None = None
        engine.physical.watch_code(key.physical)

    def decode(self, at: int) -> Decoded | None:
        """The instruction at an offset; None if there is none, or if one that is not the block's
        first cannot be fetched whole.
        """
        if at >= self._page_size:
            return None
        pc = self._key.pc + at
        one = self._frontend.decode(self._bytes, at, pc)
        if one is None and at + self._frontend.max_size > self._page_size and self._second is None:
            try:
                self._fetch_second()
            except Refused:
                if at:
                    return None
                raise
            one = self._frontend.decode(self._bytes, at, pc)
        return one

    def _fetch_second(self) -> None:
        """The first bytes of the next page."""
        linear = self._linear + self._page_size
        if self._key.base or linear == 1 << 32:
            linear &= 0xFFFF_FFFF
        privilege = INDEXES[self._mmu.state.m32[_INDEX]]
        self._second = self._mmu.translate(linear, FETCH | privilege)
        self._bytes += self._engine.physical.read(self._second, self._frontend.max_size - 1)
        self._engine.physical.watch_code(self._second)

    def chunks(self, size: int) -> tuple[int, ...]:
        """The physical chunks that so many bytes from the start lie in."""
        here = min(size, self._page_size)
        pieces = [(self._key.physical, here)]
        if size > here and self._second is not None:
            pieces.append((self._second, size - here))
        return tuple(
            chunk
            for start, length in pieces
            for chunk in range(start >> CHUNK_SHIFT, (start + length - 1 >> CHUNK_SHIFT) + 1)
        )
