"""The x87 register stack as semantic functions see it (SDM vol. 1, 8.1).

    begin(c)                    every instruction that waits: a pending exception is raised
    taken = take(c, 0, 1)       ST(0) and ST(1); if one of them is empty that is a stack fault
    with commit(c): ...         what an unmasked exception keeps from being done
    write(c, 0, taken.result(x))        ST(0) <- x, or after a stack fault the indefinite NaN

Registers are reached by a number that only the CPU knows, TOP + i.  A pass (tcg/passes/rotate.py)
finds out that TOP moves in step with the code, and makes plain registers of them; it also relies on
stack faults and unmasked exceptions being the unlikely ways of branches.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from frontends.x86.context import X86, Field
from tcg import ops
from tcg.fmath import C0, C1, C2, C3, FUNCTIONS
from tcg.frontend import GuestException
from tcg.ir import LOCAL_OFFSET, Value
from tcg.state import Slot
from tcg.types import F80, I1, I8, I16, I32, VOID

INDEFINITE = 0xFFFF_C000_0000_0000_0000
"""The NaN that stands for no result (SDM vol. 1, 4.8.3.7)."""
ONE = 0x3FFF_8000_0000_0000_0000

INVALID, DENORMAL, ZERO_DIVIDE = 1, 2, 4
MASKS = 63
BEFORE_RESULT = INVALID | DENORMAL | ZERO_DIVIDE
"""The exceptions that leave the operands alone if they are not masked (SDM vol. 1, 8.5)."""
BEFORE_STORE = BEFORE_RESULT | 1 << 3 | 1 << 4
"""A store to memory is not made either if the result is too large or too small (8.5.4, 8.5.5)."""

CODES = (("fpu_c0", C0), ("fpu_c1", C1), ("fpu_c2", C2), ("fpu_c3", C3))

BEFORE = Slot("fpu_before", I32, LOCAL_OFFSET)
"""The sticky flags before the instruction, if some exception is not masked."""


# -- exceptions ------------------------------------------------------------------------------------


def sticky_flags(c: X86) -> Value:
    """IE to PE of the status word."""
    return c.emit(ops.F80FLAGS, I32)


def raise_flags(c: X86, flags: int) -> None:
    """Set some of them."""
    c.emit(ops.F80SET, VOID, (sticky_flags(c) | flags,))


def unmasked(c: X86, which: int = MASKS) -> Value:
    """The sticky flags among `which` that the control word does not mask."""
    masks = c.get(c.slots["fpu_cw"]).zext(I32)
    return sticky_flags(c) & ~masks & which


def traps(c: X86) -> Value:
    """Some exception is not masked: nothing in a program of the usual kind."""
    return c.get(c.slots["fpu_traps"]).ne(0)


def begin(c: X86) -> None:
    """Raise #MF if an exception is pending, as instructions that wait do (SDM vol. 1, 8.6)."""
    with c.when(traps(c), likely=False):
        c.put(BEFORE, sticky_flags(c))
        c.raise_(GuestException.FLOAT, c.pc, when=unmasked(c).ne(0))


@contextmanager
def commit(c: X86, forbidding: int = BEFORE_RESULT) -> Iterator[None]:
    """Do something unless the instruction has just met an unmasked exception that forbids it.

    An operation that comes to nothing raises no more than that exception.
    """
    look, go, after = c.new_block("look"), c.new_block("go"), c.new_block("kept")
    undone = c.new_block("undone")
    c.cbr(traps(c), look, go, likely=False)
    c.open(look)
    c.cbr(unmasked(c, forbidding).ne(0), undone, go)
    c.open(undone)
    c.emit(ops.F80SET, VOID, (c.get(BEFORE) | sticky_flags(c) & forbidding,))
    c.br(after)
    c.open(go)
    yield
    c.br(after)
    c.open(after)


def stack_fault(c: X86, is_overflow: int) -> None:
    """IE and SF; C1 tells the two kinds apart (SDM vol. 1, 8.5.1.1)."""
    raise_flags(c, INVALID)
    c.put(c.slots["fpu_sf"], 1)
    c.put(c.slots["fpu_c1"], is_overflow)


# -- registers -------------------------------------------------------------------------------------


def number(c: X86, i: Field) -> Value:
    """The register that is ST(i); ST(7) is also the one that a push will fill."""
    top = c.get(c.slots["fpu_top"])
    return top & 7 if isinstance(i, int) and not i else top + c.value(I32, i) & 7


def is_full(c: X86, register: Value) -> Value:
    """The register is not empty."""
    return (c.get(c.slots["fpu_full"]) >> register.trunc(I8)).trunc(I1)


def fill(c: X86, register: Value) -> None:
    """Mark a register as not empty."""
    full = c.slots["fpu_full"]
    c.put(full, c.get(full) | c.const(I8, 1) << register.trunc(I8))


def drain(c: X86, register: Value) -> None:
    """Mark a register as empty."""
    full = c.slots["fpu_full"]
    c.put(full, c.get(full) & ~(c.const(I8, 1) << register.trunc(I8)))


@dataclass(frozen=True, slots=True)
class Taken:
    """Registers that an instruction has read, and whether all of them were full.

    Those that were not are the indefinite NaN, which raises nothing any more.
    """

    c: X86
    values: tuple[Value, ...]
    full: Value

    def __iter__(self) -> Iterator[Value]:
        return iter(self.values)

    def result(self, value: Value) -> Value:
        """What the instruction gives: the indefinite NaN after a stack fault."""
        return self.c.select(self.full, value, INDEFINITE)


def take(c: X86, *numbers: Field) -> Taken:
    """Read ST(i) for each of the numbers."""
    values, all_full = [], None
    for i in numbers:
        register = number(c, i)
        full = is_full(c, register)
        values.append(c.select(full, c.get_file(c.state.fpr, register), INDEFINITE))
        all_full = full if all_full is None else all_full & full
    assert all_full is not None
    with c.when(~all_full, likely=False):
        stack_fault(c, 0)
    return Taken(c, tuple(values), all_full)


def write(c: X86, i: Field, value: Value) -> None:
    """ST(i) <- value, whatever was there."""
    register = number(c, i)
    c.put_file(c.state.fpr, register, value)
    fill(c, register)


def take_with_room(c: X86, i: Field) -> Taken:
    """Read ST(i) for an instruction that pushes something: a full ST(7) is a stack fault too.

    That ST(i) is empty counts more, as to C1.
    """
    has_room = room(c)
    taken = take(c, i)
    (value,) = taken
    return Taken(c, (c.select(has_room, value, INDEFINITE),), taken.full & has_room)


def room(c: X86) -> Value:
    """Whether there is room for a push; if not that is a stack fault."""
    full = is_full(c, number(c, 7))
    with c.when(full, likely=False):
        stack_fault(c, 1)
    return ~full


def put_on_top(c: X86, value: Value) -> None:
    """ST(0) <- value, on a stack that is one deeper."""
    register = number(c, 7)
    c.put_file(c.state.fpr, register, value)
    fill(c, register)
    c.put(c.slots["fpu_top"], register)


def push(c: X86, value: Value) -> None:
    """The same; the indefinite NaN if there is no room."""
    c.put(c.slots["fpu_c1"], 0)
    has_room = room(c)
    with commit(c):
        put_on_top(c, c.select(has_room, value, INDEFINITE))


def pop(c: X86, times: int = 1) -> None:
    """Empty ST(0), once or twice."""
    for _ in range(times):
        drain(c, number(c, 0))
        c.put(c.slots["fpu_top"], number(c, 1))


def rotate(c: X86, by: int) -> None:
    """Move TOP, and nothing else."""
    c.put(c.slots["fpu_top"], number(c, by & 7))


# -- status ----------------------------------------------------------------------------------------


def set_codes(c: X86, **codes: Value | int) -> None:
    """Set some of C0 to C3."""
    for name, value in codes.items():
        c.put(c.slots[f"fpu_{name}"], value)


def codes_of(c: X86, applied: Value) -> dict[str, Value]:
    """C0 to C3 as a function of tcg/fmath.py has left them."""
    word = c.emit(ops.FMATHCC, I32, (applied,))
    return {name[4:]: (word & bit).ne(0) for name, bit in CODES}


def function(c: X86, name: str, *operands: Value) -> Value:
    """Apply a function of tcg/fmath.py."""
    return c.emit(ops.FMATH, F80, operands, FUNCTIONS[name])


def status_word(c: X86) -> Value:
    """The whole status word (SDM vol. 1, 8.1.3)."""
    word = sticky_flags(c) | c.get(c.slots["fpu_sf"]).zext(I32) << 6
    word = word | (c.get(c.slots["fpu_top"]) & 7) << 11
    for name, bit in CODES:
        word = word | c.get(c.slots[name]).zext(I32) << bit.bit_length() - 1
    result = c.local(I32)
    c.put(result, word)
    with c.when(traps(c), likely=False):
        pending = unmasked(c).ne(0)
        c.put(result, c.get(result) | c.select(pending, 1 << 7 | 1 << 15, 0))
    return c.get(result).trunc(I16)


def load_status(c: X86, word: Value) -> None:
    """The status word <- a number; whether an exception is pending follows from the flags."""
    wide = word.zext(I32)
    c.emit(ops.F80SET, VOID, (wide & MASKS,))
    c.put(c.slots["fpu_sf"], (wide >> 6).trunc(I1))
    c.put(c.slots["fpu_top"], wide >> 11 & 7)
    for name, bit in CODES:
        c.put(c.slots[name], (wide >> bit.bit_length() - 1).trunc(I1))


def load_control(c: X86, word: Value) -> None:
    """The control word <- a number, from now on in force."""
    kept = word & 0x1F3F | 0x40
    c.put(c.slots["fpu_cw"], kept)
    c.emit(ops.F80CONTROL, VOID, (kept.zext(I32),))
    c.put(c.slots["fpu_traps"], (~kept & MASKS).ne(0).zext(I8))
