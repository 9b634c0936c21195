"""Delivery of interrupts and exceptions (SDM vol. 3, chapter 6; vol. 2, INT n).

`lift_delivery` makes the IR that an engine runs when something is to be delivered: what, the slots
`int_vector`, `int_kind` and `int_error` say, and `int_pc` where the guest was.  INT n and its like
are instructions that do the same with what they know.

A delivery that fails raises, with `DELIVERING` still set in `int_kind` and nothing changed; one
that succeeds clears `int_kind`.
"""

from __future__ import annotations

from dataclasses import dataclass

from frontends.x86.context import SIZES, access
from frontends.x86.privileged import stacks
from frontends.x86.privileged.builder import SystemX86
from frontends.x86.privileged.code_segments import Code, gate_to, go_real
from frontends.x86.privileged.descriptors import (
    INTERRUPT_GATE16,
    INTERRUPT_GATE32,
    TASK_GATE,
    TRAP_GATE16,
    TRAP_GATE32,
    Descriptor,
    error_code,
    read,
)
from frontends.x86.privileged.flags import HIDDEN_BY_EVENTS
from frontends.x86.privileged.loading import Loaded
from frontends.x86.privileged.segments import is_one_of
from frontends.x86.privileged.stacks import INNER, Stack
from frontends.x86.privileged.task_gates import BY_EVENT, ask_switch
from frontends.x86.state import AC, CS, DS, ES, FS, GS, IF, RF, SP, SS, TF
from frontends.x86.system_state import UNUSABLE
from tcg.fields import FieldLike
from tcg.frontend import GuestException
from tcg.ir import Value
from tcg.types import I1, I16, I32, I64

SOFTWARE, HAS_CODE, EXTERNAL, DELIVERING = 1, 2, 4, 0x80
"""Bits of the slot `int_kind`."""
IN_IDT = 2
"""The bit of an error code that names a gate of the IDT."""

NOT_FAULTS = sum(1 << vector for vector in (1, 2, 3, 4, 8, 18))
"""Vectors of traps, aborts and the NMI; all exceptions else are faults (SDM vol. 3, table 6-1)."""
EXCEPTIONS = 32


@dataclass(frozen=True, slots=True)
class Event:
    """What is delivered: a byte's vector in 32 bits; `external`: EXT of error codes, 0 or 1.

    `by_program`: whether the gate's DPL counts; `code`: the error code, pushed if `has_code`.
    `resume`: RF of the flags that are pushed.  `next_pc`: None in a delivery of its own.
    """

    vector: Value
    by_program: Value
    has_code: Value
    code: Value
    external: Value
    resume: Value
    pc: Value
    next_pc: FieldLike | None = None

    @property
    def gate_code(self) -> Value:
        """The error code that names the gate."""
        return (self.vector << 3) + IN_IDT | self.external


def event_of_slots(c: SystemX86) -> Event:
    """What the client wants delivered."""
    slots = c.slots
    vector, kind = c.get(slots["int_vector"]) & 0xFF, c.get(slots["int_kind"])
    by_program = (kind & SOFTWARE).ne(0)
    is_fault = (c.const(I32, ~NOT_FAULTS & 0xFFFF_FFFF) >> (vector & 31) & 1).ne(0)
    is_exception = (kind & (SOFTWARE | EXTERNAL)).eq(0) & vector.ult(EXCEPTIONS)
    return Event(
        vector,
        by_program,
        (kind & HAS_CODE).ne(0),
        c.get(slots["int_error"]),
        c.select(by_program, 0, 1),
        c.select(is_fault & is_exception, RF, 0),
        c.get(slots["int_pc"]),
    )


def event_of_instruction(c: SystemX86, vector: Value | int, *, by_program: bool = True) -> Event:
    """What INT n delivers; INT1 does not mind the gate's DPL."""
    c.put(c.slots["int_kind"], SOFTWARE)
    pc = c.value(c.word, c.next_pc)
    zero = c.const(I32, 0)
    external = zero if by_program else c.const(I32, 1)
    return Event(
        c.value(I32, vector), c.const(I1, by_program), c.const(I1, 0), zero, external, zero, pc,
        c.next_pc,
    )  # fmt: skip


def lift_delivery(c: SystemX86) -> None:
    """Deliver what the slots say."""
    c.pc = 0
    deliver(c, event_of_slots(c))


def deliver(c: SystemX86, event: Event) -> None:
    """Go to the handler of an event, or raise what is in the way."""
    if c.is_long:
        _deliver_long(c, event)
    elif c.is_protected or c.is_virtual:
        _deliver_protected(c, event)
    else:
        _deliver_real(c, event)


# -- real mode ------------------------------------------------------------------------------------


def _deliver_real(c: SystemX86, event: Event) -> None:
    """Push FLAGS, CS, IP; CS:IP <- the vector's entry in the table (SDM vol. 3, 20.1.4)."""
    at = event.vector << 2
    c.fault(GuestException.PROTECTION, (at + 3).ugt(c.get(c.slots["idt_limit"])))
    entry = c.load_system(I32, c.get(c.slots["idt_base"]) + at.zext(c.word))
    flags = c.flags.word().trunc(I16)
    top = c.stack_pointer()
    selector = c.get(c.state.selectors.slots[CS])
    for number, value in enumerate((flags, selector, event.pc.trunc(I16)), 1):
        c.store_le(c.on_stack(top - 2 * number), value)
    c.write_stack_pointer(top - 6)
    old = c.get(c.slots["eflags"])
    c.put(c.slots["eflags"], old & ~(IF | TF | RF | AC))
    _done(c, event)
    target = (entry & 0xFFFF).zext(c.word)
    go_real(c, (entry >> 16).trunc(I16), target, in_same_mode=False)


def _done(c: SystemX86, event: Event) -> None:
    """Nothing can go wrong any more."""
    if event.next_pc is None:
        c.put(c.slots["int_kind"], 0)


# -- protected mode -------------------------------------------------------------------------------


def _fetch_gate(c: SystemX86, event: Event, types: tuple[int, ...], size: int) -> Descriptor:
    """The event's gate; #GP if there is none of these types, or the program may not use it; #NP."""
    at = event.vector << (size.bit_length() - 1)
    limit = c.get(c.slots["idt_limit"])
    code = event.gate_code
    c.fault_with_code(GuestException.PROTECTION, code, (at + (size - 1)).ugt(limit))
    gate = read(c, c.const(I16, 0), c.get(c.slots["idt_base"]) + at.zext(c.word))
    forbidden = event.by_program & gate.dpl.ult(c.cpl)
    c.fault_with_code(GuestException.PROTECTION, code, ~is_one_of(gate, types) | forbidden)
    c.fault_with_code(GuestException.NOT_PRESENT, code, gate.is_absent)
    return gate


def _deliver_protected(c: SystemX86, event: Event) -> None:
    types = (INTERRUPT_GATE16, TRAP_GATE16, INTERRUPT_GATE32, TRAP_GATE32, TASK_GATE)
    gate = _fetch_gate(c, event, types, 8)
    with c.when(gate.type.eq(TASK_GATE), likely=False):
        _switch_task(c, event, gate)
    found = gate_to(c, gate.gate_selector, event.external)
    is_inner = ~found.is_conforming & found.dpl.ult(c.cpl)
    if c.is_virtual:
        wrong = ~is_inner | found.dpl.ne(0)
        code = error_code(found.selector, event.external)
        c.fault_with_code(GuestException.PROTECTION, code, wrong)
        _deliver_inner(c, event, gate, found)
        return
    with c.when(is_inner):
        _deliver_inner(c, event, gate, found)
    _deliver_same(c, event, gate, found)


def _switch_task(c: SystemX86, event: Event, gate: Descriptor) -> None:
    """Through a task gate: the client does the rest."""
    pushes = event.has_code.zext(I64)
    if event.next_pc is not None:
        c.put(c.slots["int_pc"], c.value(c.word, c.pc))
        c.put(c.slots["int_kind"], SOFTWARE)
    next_pc = 0 if event.next_pc is None else event.next_pc
    ask_switch(c, gate.gate_selector, BY_EVENT, pushes, next_pc)


def _flags_image(c: SystemX86, event: Event) -> Value:
    """EFLAGS as they are pushed.  RF, which every instruction clears, is never kept so exactly."""
    return c.flags.word() & ~RF | event.resume


def _new_flags(c: SystemX86, gate: Descriptor) -> None:
    """Interrupt gates clear IF, trap gates, with bit 8, do not."""
    old = c.get(c.slots["eflags"])
    cleared = c.select(gate.has(1 << 8), HIDDEN_BY_EVENTS, HIDDEN_BY_EVENTS | IF)
    c.put(c.slots["eflags"], old & ~cleared)


def _target(c: SystemX86, gate: Descriptor) -> tuple[Value, Value]:
    """Whether the gate is one of 32 bits, and the handler's address."""
    is_32 = gate.has(8 << 8)
    offset = c.select(is_32, gate.gate_offset, gate.low & 0xFFFF)
    return is_32, offset.zext(c.word)


def _deliver_same(c: SystemX86, event: Event, gate: Descriptor, found: Descriptor) -> None:
    """To a handler of the same level, on the same stack."""
    is_32, target = _target(c, gate)
    code = Code(found, c.cpl)
    code.check_target(target, event.external)
    found.mark_accessed()
    stack = stacks.current(c, event.external)
    with c.when(is_32):
        _push(c, event, stack, _usual_values(c, event), 4)
    with c.when(~is_32):
        _push(c, event, stack, _usual_values(c, event), 2)
    _enter(c, event, gate, code, target)


def _deliver_inner(c: SystemX86, event: Event, gate: Descriptor, found: Descriptor) -> None:
    """To a handler of an inner level, on that one's stack; from virtual-8086 mode to level 0."""
    is_32, target = _target(c, gate)
    stack = stacks.inner(c, found.dpl, event.external)
    code = Code(found, found.dpl)
    code.check_target(target, event.external)
    found.mark_accessed()
    values = _usual_values(c, event)
    selectors = c.state.selectors.slots
    values += [c.get_file(c.state.gpr, SP), c.get(selectors[SS])]
    if c.is_virtual:
        values += [c.get(selectors[number]) for number in (ES, DS, FS, GS)]
    with c.when(is_32):
        _push(c, event, stack, values, 4)
    with c.when(~is_32):
        _push(c, event, stack, values, 2)
    stack.segment.put(c, SS)
    if c.is_virtual:
        for number in (ES, DS, FS, GS):
            zero = c.const(c.word, 0)
            Loaded(c.const(I16, 0), zero, 0, UNUSABLE).put(c, number)
    _enter(c, event, gate, code, target)


def _usual_values(c: SystemX86, event: Event) -> list[Value]:
    """What every handler finds on its stack, from the lowest address on."""
    return [event.pc, c.get(c.state.selectors.slots[CS]), _flags_image(c, event)]


def _push(c: SystemX86, event: Event, stack: Stack, values: list[Value], size: int) -> None:
    """Push values, the last one first, and below them the error code."""
    type_ = SIZES[size]
    below = c.select(event.has_code, size, 0, c.word)
    frame = stack.below(below + size * len(values))
    for number, value in enumerate(values):
        fitting = value.zext(type_) if value.type.bits < type_.bits else value.trunc(type_)
        frame.store(below + size * number, fitting)
    if not event.has_code.is_const:
        with c.when(event.has_code):
            frame.store(0, event.code.trunc(type_))
    frame.put_pointer()


def _enter(c: SystemX86, event: Event, gate: Descriptor, code: Code, target: Value) -> None:
    code.put()
    _new_flags(c, gate)
    _done(c, event)
    c.jump_far(target)


# -- long mode ------------------------------------------------------------------------------------


def _deliver_long(c: SystemX86, event: Event) -> None:
    """Through a 64-bit gate: five words on a stack aligned to 16 bytes (SDM vol. 3, 6.14)."""
    gate = _fetch_gate(c, event, (INTERRUPT_GATE32, TRAP_GATE32), 16)
    found = gate_to(c, gate.gate_selector, event.external)
    code_of_cs = error_code(found.selector, event.external)
    c.fault_with_code(GuestException.PROTECTION, code_of_cs, ~found.is_long)
    target = gate.gate_offset.zext(I64) | gate.upper().zext(I64) << 32
    is_inner = ~found.is_conforming & found.dpl.ult(c.cpl)
    level = c.select(is_inner, found.dpl, c.cpl)
    code = Code(found, level)
    code.check_target(target, event.external)
    found.mark_accessed()
    _push_long(c, event, _long_stack(c, event, gate, is_inner, level), is_inner)
    with c.when(is_inner):
        stacks.null_stack(c, level).put(c, SS)
    _enter(c, event, gate, code, target)


def _long_stack(
    c: SystemX86, event: Event, gate: Descriptor, is_inner: Value, level: Value
) -> Value:
    """The new stack pointer: of IST, of the level, or the same."""
    number = gate.stack_number
    pointer = c.local(I64)
    c.put(pointer, c.get_file(c.state.gpr, SP))
    slot = c.select(number.ne(0), number.zext(I32) + 3, level.zext(I32))
    with c.when(number.ne(0) | is_inner):
        c.put(pointer, stacks.long_pointer(c, slot, event.external))
    top = c.get(pointer)
    bad = ~stacks.is_canonical(top)
    c.fault_with_code(GuestException.STACK, event.external, bad)
    return top & ~0xF


def _push_long(c: SystemX86, event: Event, top: Value, is_inner: Value) -> None:
    """Push SS, RSP, RFLAGS, CS, RIP and the error code; as the system if the level changes.

    A handler of level 3 may only use what a program may.
    """
    is_programs = ~is_inner & c.cpl.eq(3)
    with c.when(is_programs, likely=False):
        _store_long(c, event, top, 0)
    with c.when(~is_programs, likely=True):
        _store_long(c, event, top, INNER)
    c.put_file(c.state.gpr, SP, _bottom(c, event, top))


def _bottom(c: SystemX86, event: Event, top: Value) -> Value:
    return top - c.select(event.has_code, 48, 40, I64)


def _store_long(c: SystemX86, event: Event, top: Value, mmu: int) -> None:
    selectors = c.state.selectors.slots
    values = (
        c.get(selectors[SS]), c.get_file(c.state.gpr, SP), _flags_image(c, event),
        c.get(selectors[CS]), event.pc,
    )  # fmt: skip
    for number, value in enumerate(values, 1):
        c.store(access(I64, mmu), top - 8 * number, value.zext(I64))
    if not event.has_code.is_const:
        with c.when(event.has_code):
            c.store(access(I64, mmu), top - 48, event.code.zext(I64))
