"""Task switches (SDM vol. 3, 7.3): rare enough to be done here, and not by translated code.

Everything that can be refused for the old task's sake is looked at before anything changes; from
then on an exception is the new task's, and the registers are already its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from frontends.x86.registers import read_eflags, write_eflags
from frontends.x86.state import CS, DS, ES, FS, GS, IF, NT, SP, SS, VM
from frontends.x86.system_state import (
    ACCESSED,
    BIG,
    CODE_SEGMENT,
    CONFORMING,
    CR0_PG,
    CR0_TS,
    DPL_SHIFT,
    EXPAND_DOWN,
    GRANULARITY,
    LDTR,
    NOT_SYSTEM,
    PRESENT,
    READABLE,
    RIGHTS_MASK,
    TR,
    UNUSABLE,
    WRITABLE,
)
from machine.cpu.core import Core, Refusal
from tcg.frontend import GuestException

INVALID_TSS, NOT_PRESENT = GuestException.INVALID_TSS, GuestException.NOT_PRESENT
PROTECTION, STACK = GuestException.PROTECTION, GuestException.STACK

SOFTWARE, DELIVERING = 1, 0x80
"""Bits of `int_kind`."""
TASK_GATE, LDT, TSS16, BUSY = 5, 2, 1, 2
IS_32 = 8
"""The bit that a TSS of 32 bits has in its type."""
TABLE_INDICATOR = 4
TASK_SWITCHED = 1 << 15
"""DR6.BT."""
LOCAL_BREAKPOINTS = 0x155
"""What DR7 loses: L0 to L3 and LE."""
VIRTUAL_RIGHTS, VIRTUAL_LIMIT = 0xF300, 0xFFFF
DATA_SEGMENTS = (ES, DS, FS, GS)


class Cause(IntEnum):
    """What a switch comes from: `ask_b`."""

    JUMP = 0
    CALL = 1
    RETURN = 2
    EVENT = 3

    @property
    def nests(self) -> bool:
        """The new task will return to the old one."""
        return self in (Cause.CALL, Cause.EVENT)


@dataclass(frozen=True, slots=True)
class Shape:
    """Where a TSS has what: 16 or 32 bits (SDM vol. 3, figures 7-2 and 7-10)."""

    size: int
    """Bytes of a register."""
    least: int
    """The lowest limit."""
    paging: int | None
    ip: int
    segments: tuple[int, ...]
    """The offsets of ES, CS, SS, DS and, in 32 bits, FS and GS."""
    segment_step: int
    ldt: int
    above: int
    """What the upper halves of registers get: ones, of a TSS of 16 bits (as on a 386)."""

    @property
    def flags(self) -> int:
        return self.ip + self.size

    @property
    def registers(self) -> int:
        return self.ip + 2 * self.size


SHAPE_16 = Shape(2, 0x2B, None, 0x0E, tuple(range(0x22, 0x2A, 2)), 2, 0x2A, 0xFFFF_0000)
SHAPE_32 = Shape(4, 0x67, 0x1C, 0x20, tuple(range(0x48, 0x60, 4)), 4, 0x60, 0)
TRAP_BIT = 0x64


@dataclass(frozen=True, slots=True)
class Entry:
    """A descriptor, and the selector that led to it."""

    selector: int
    address: int
    low: int
    high: int

    @property
    def code(self) -> int:
        """The error code that names it."""
        return self.selector & 0xFFFC

    @property
    def type(self) -> int:
        """S and type."""
        return self.high >> 8 & 0x1F

    @property
    def dpl(self) -> int:
        return self.high >> DPL_SHIFT & 3

    @property
    def rpl(self) -> int:
        return self.selector & 3

    @property
    def base(self) -> int:
        return self.low >> 16 | (self.high & 0xFF) << 16 | self.high & 0xFF00_0000

    @property
    def limit(self) -> int:
        limit = self.low & 0xFFFF | self.high & 0xF_0000
        return limit << 12 | 0xFFF if self.high & GRANULARITY else limit

    @property
    def rights(self) -> int:
        """What the slot `seg_rights` keeps."""
        return self.high & RIGHTS_MASK

    @property
    def is_code(self) -> bool:
        wanted = NOT_SYSTEM | CODE_SEGMENT
        return self.high & wanted == wanted

    @property
    def shape(self) -> Shape:
        """Of a TSS."""
        return SHAPE_32 if self.type & IS_32 else SHAPE_16


def switch_task(core: Core, next_pc: int) -> None:
    """Go to the task that the slots ask for; `next_pc` is where the old one will go on.

    Raises Refusal and PageFault, with cpu.pc where the exception is to be reported.
    """
    _Switch(core, next_pc).run()


class _Switch:
    """One task switch."""

    def __init__(self, core: Core, next_pc: int) -> None:
        self.core = core
        self.cause = Cause(core.get("ask_b"))
        kind = core.get("int_kind")
        delivers = self.cause is Cause.EVENT and kind & DELIVERING
        self.next_pc = core.get("int_pc") if delivers else next_pc
        self.external = int(self.cause is Cause.EVENT and not kind & SOFTWARE)
        core.cpu.pc = core.get("int_pc")

    # -- memory -----------------------------------------------------------------------------------

    def _read(self, linear: int, size: int) -> int:
        data = self.core.runner.read_linear(self.core.cpu, linear, size)
        return int.from_bytes(data, "little")

    def _write(self, linear: int, value: int, size: int) -> None:
        data = (value & (1 << 8 * size) - 1).to_bytes(size, "little")
        self.core.runner.write_linear(self.core.cpu, linear, data)

    def _refuse(self, exception: GuestException, code: int, when: object = True) -> None:
        if when:
            raise Refusal(exception, code | self.external)

    def _entry(self, selector: int, exception: GuestException) -> Entry:
        """A descriptor of the GDT or the LDT; the exception if there is none."""
        core, state = self.core, self.core.state
        if selector & TABLE_INDICATOR:
            base = core.cpu.get(state.seg_base.slots[LDTR])
            limit = core.cpu.get(state.seg_limit.slots[LDTR])
        else:
            base, limit = core.get("gdt_base"), core.get("gdt_limit")
        index = selector & 0xFFF8
        self._refuse(exception, selector & 0xFFFC, index + 7 > limit)
        both = self._read(base + index, 8)
        return Entry(selector, base + index, both & 0xFFFF_FFFF, both >> 32)

    # -- the switch -------------------------------------------------------------------------------

    def run(self) -> None:
        """The steps of SDM vol. 3, 7.3, in their order."""
        target = self._target()
        old = self._read_task(target.base, target.shape)
        self._save(target)
        self._mark(target)
        self._load(target, old)

    def _target(self) -> Entry:
        """The new task's TSS, which must be there, big enough and as busy as the way asks."""
        is_return = self.cause is Cause.RETURN
        wrong = INVALID_TSS if is_return else PROTECTION
        selector = self.core.get("ask_a") & 0xFFFF
        self._refuse(wrong, selector & 0xFFFC, selector & TABLE_INDICATOR and is_return)
        found = self._entry(selector, wrong)
        if found.type == TASK_GATE and self.cause in (Cause.JUMP, Cause.CALL):
            found = self._entry(found.low >> 16, wrong)
        selector = found.selector
        self._refuse(wrong, found.code, selector & TABLE_INDICATOR)
        wanted = TSS16 | BUSY if is_return else TSS16
        self._refuse(wrong, found.code, found.type & ~IS_32 != wanted)
        self._refuse(NOT_PRESENT, found.code, not found.high & PRESENT)
        self._refuse(INVALID_TSS, found.code, found.limit < found.shape.least)
        return found

    def _read_task(self, base: int, shape: Shape) -> dict[str, int]:
        """What the new task's TSS holds, by the names of _FIELDS."""
        task = {"ip": self._read(base + shape.ip, shape.size)}
        task["flags"] = self._read(base + shape.flags, shape.size)
        for number in range(8):
            place = base + shape.registers + number * shape.size
            task[f"r{number}"] = self._read(place, shape.size)
        for number in range(6):
            has = number < len(shape.segments)
            task[f"s{number}"] = self._read(base + shape.segments[number], 2) if has else 0
        task["ldt"] = self._read(base + shape.ldt, 2)
        if shape.paging is not None:
            task["cr3"] = self._read(base + shape.paging, 4)
            task["trap"] = self._read(base + TRAP_BIT, 2) & 1
        return task

    def _save(self, target: Entry) -> None:
        """The registers go to the old task's TSS, as one piece, so that nothing is half done."""
        core, state = self.core, self.core.state
        rights = core.cpu.get(state.seg_rights.slots[TR])
        shape = SHAPE_32 if rights >> 8 & IS_32 else SHAPE_16
        base = core.cpu.get(state.seg_base.slots[TR])
        flags = read_eflags(state, core.cpu)
        if self.cause is Cause.RETURN:
            flags &= ~NT
        mask = (1 << 8 * shape.size) - 1
        words = [self.next_pc, flags, *(core.gpr(number) for number in range(8))]
        image = b"".join((word & mask).to_bytes(shape.size, "little") for word in words)
        for number in range(len(shape.segments)):
            selector = core.cpu.get(state.selectors.slots[number])
            image += selector.to_bytes(shape.segment_step, "little")
        core.runner.write_linear(core.cpu, base + shape.ip, image)
        if self.cause.nests:
            self._write(target.base, core.get("tr"), 2)

    def _mark(self, target: Entry) -> None:
        """Busy bits: a task that will be returned to stays busy."""
        core = self.core
        if not self.cause.nests:
            address = core.get("gdt_base") + (core.get("tr") & 0xFFF8) + 5
            self._write(address, self._read(address, 1) & ~BUSY, 1)
        if self.cause is not Cause.RETURN:
            self._write(target.address + 5, target.high >> 8 | BUSY, 1)

    # -- the new task -----------------------------------------------------------------------------

    def _load(self, target: Entry, task: dict[str, int]) -> None:
        """Registers first, which cannot fail; then what descriptors say."""
        core, shape = self.core, target.shape
        self._put(TR, target.selector, target.base, target.limit, target.rights | BUSY << 8)
        core.set("cr0", core.get("cr0") | CR0_TS)
        core.set("dr7", core.get("dr7") & ~LOCAL_BREAKPOINTS)
        if "cr3" in task and core.get("cr0") & CR0_PG:
            core.set("cr3", task["cr3"])
            core.flush()
        flags = task["flags"] | (NT if self.cause.nests else 0)
        write_eflags(core.state, core.cpu, flags)
        core.cpu.pc = task["ip"]
        for number in range(8):
            core.set_gpr(number, task[f"r{number}"] | shape.above, 4)
        pushes_code, core_error = core.get("ask_c") & 1, core.get("int_error")
        core.set("int_kind", 0)
        if flags & IF and core.get("intr_wanted"):
            core.cpu.kick()
        try:
            self._load_segments(task, bool(flags & VM))
        finally:
            core.changed_mode()
        if pushes_code:
            self._push(core_error, shape.size)
        limit = core.cpu.get(core.state.seg_limit.slots[CS])
        self._refuse(PROTECTION, 0, core.cpu.pc > limit)
        if task.get("trap"):
            core.set("dr6", core.get("dr6") | TASK_SWITCHED)
            raise Refusal(GuestException.DEBUG)

    def _put(self, number: int, selector: int, base: int, limit: int, rights: int) -> None:
        cpu, state = self.core.cpu, self.core.state
        cpu.set(state.selectors.slots[number], selector)
        cpu.set(state.seg_base.slots[number], base)
        cpu.set(state.seg_limit.slots[number], limit)
        cpu.set(state.seg_rights.slots[number], rights)

    def _load_segments(self, task: dict[str, int], is_virtual: bool) -> None:
        """LDTR, CS, SS, then the data segments; until one is loaded it is null.

        CPL is the RPL of CS from the beginning (SDM vol. 3, 7.3).
        """
        selectors = [task[f"s{number}"] for number in range(6)]
        for number, selector in enumerate(selectors):
            self._put(number, selector, 0, 0, UNUSABLE)
        self._put(LDTR, task["ldt"], 0, 0, UNUSABLE)
        self.core.set("cpl", 3 if is_virtual else selectors[CS] & 3)
        self._load_ldt(task["ldt"])
        if is_virtual:
            for number, selector in enumerate(selectors):
                self._put(number, selector, selector << 4, VIRTUAL_LIMIT, VIRTUAL_RIGHTS)
            return
        self._load_code(selectors[CS])
        self._load_stack(selectors[SS])
        for number in DATA_SEGMENTS:
            self._load_data(number, selectors[number])

    def _load_ldt(self, selector: int) -> None:
        if not selector & 0xFFFC:
            return
        self._refuse(INVALID_TSS, selector & 0xFFFC, selector & TABLE_INDICATOR)
        found = self._entry(selector, INVALID_TSS)
        wrong = found.type != LDT or not found.high & PRESENT
        self._refuse(INVALID_TSS, found.code, wrong)
        self._put(LDTR, selector, found.base, found.limit, found.rights)

    def _load_code(self, selector: int) -> None:
        self._refuse(INVALID_TSS, 0, not selector & 0xFFFC)
        found = self._entry(selector, INVALID_TSS)
        if found.high & CONFORMING:
            wrong = found.dpl > found.rpl
        else:
            wrong = found.dpl != found.rpl
        self._refuse(INVALID_TSS, found.code, not found.is_code or wrong)
        self._refuse(NOT_PRESENT, found.code, not found.high & PRESENT)
        self._take(CS, found)

    def _load_stack(self, selector: int) -> None:
        self._refuse(INVALID_TSS, 0, not selector & 0xFFFC)
        found = self._entry(selector, INVALID_TSS)
        looked_at = NOT_SYSTEM | CODE_SEGMENT | WRITABLE
        level = self.core.get("cpl")
        wrong = found.high & looked_at != NOT_SYSTEM | WRITABLE
        self._refuse(INVALID_TSS, found.code, wrong or found.dpl != level or found.rpl != level)
        self._refuse(STACK, found.code, not found.high & PRESENT)
        self._take(SS, found)

    def _load_data(self, number: int, selector: int) -> None:
        if not selector & 0xFFFC:
            return
        found = self._entry(selector, INVALID_TSS)
        is_private = found.high & (CODE_SEGMENT | CONFORMING) != CODE_SEGMENT | CONFORMING
        level = max(self.core.get("cpl"), found.rpl)
        wrong = not found.high & NOT_SYSTEM or (found.is_code and not found.high & READABLE)
        self._refuse(INVALID_TSS, found.code, wrong or (is_private and level > found.dpl))
        self._refuse(NOT_PRESENT, found.code, not found.high & PRESENT)
        self._take(number, found)

    def _take(self, number: int, found: Entry) -> None:
        """Load a register with a descriptor, which is accessed now."""
        if not found.high & ACCESSED:
            self._write(found.address + 5, (found.high | ACCESSED) >> 8, 1)
        self._put(number, found.selector, found.base, found.limit, found.rights | ACCESSED)

    def _push(self, value: int, size: int) -> None:
        """Push an exception's error code on the new task's stack."""
        core, state = self.core, self.core.state
        rights = core.cpu.get(state.seg_rights.slots[SS])
        limit = core.cpu.get(state.seg_limit.slots[SS])
        mask = 0xFFFF_FFFF if rights & BIG else 0xFFFF
        top = core.gpr(SP) - size & mask
        goes_down = rights & EXPAND_DOWN
        outside = top <= limit if goes_down else top + size - 1 > limit
        self._refuse(STACK, 0, outside)
        self._write(core.cpu.get(state.seg_base.slots[SS]) + top, value, size)
        core.set_gpr(SP, core.gpr(SP) & ~mask | top, 4)
