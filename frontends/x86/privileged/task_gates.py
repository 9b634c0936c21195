"""Transfers to other tasks: what is checked before the client switches (SDM vol. 3, 7.3)."""

from __future__ import annotations

from frontends.x86.privileged.builder import SystemX86
from frontends.x86.privileged.descriptors import TASK_GATE, Descriptor, error_code
from frontends.x86.state import ASK_TASK_SWITCH
from tcg.fields import FieldLike
from tcg.frontend import GuestException
from tcg.ir import Operand, Value
from tcg.types import I16, I64

BY_JUMP, BY_CALL, BY_RETURN, BY_EVENT = range(4)


def check_task(found: Descriptor) -> None:
    """#NP if a TSS or a task gate is not there."""
    c = found.c
    c.fault_with_code(GuestException.NOT_PRESENT, error_code(found.selector), found.is_absent)


def target_task(found: Descriptor) -> Value:
    """The TSS's selector: a gate has it inside."""
    return found.c.select(found.type.eq(TASK_GATE), found.gate_selector, found.selector)


def ask_switch(
    c: SystemX86, selector: Value, how: int, pushes: Operand = 0, next_pc: FieldLike | None = None
) -> None:
    """Have the client switch to a task; `pushes`: 1 if the exception's error code is pushed."""
    if how != BY_EVENT:
        c.put(c.slots["int_pc"], c.value(c.word, c.pc))
    c.put(c.slots["ask_a"], selector.trunc(I16).zext(I64))
    c.put(c.slots["ask_b"], how)
    c.put(c.slots["ask_c"], c.value(I64, pushes))
    c.ask(ASK_TASK_SWITCH, c.next_pc if next_pc is None else next_pc)
