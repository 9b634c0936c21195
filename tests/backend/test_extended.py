"""Operations on extended floats: what the host's x87 gives against the evaluator.

The evaluator has been compared with the processor instruction by instruction; here it is what LLVM
makes of the operations, in what order, and how the environment gets in and out of compiled code.
"""

from __future__ import annotations

from random import Random

import pytest

from backend.llvm.arena import HostArena
from backend.llvm.blob import HEAD_PREFIX, Blob
from backend.llvm.client import Client
from backend.llvm.regions import PASSES, region_text
from backend.llvm.runtime import Runtime
from tcg.evaluate import Evaluator, State
from tcg.fmath import FUNCTIONS, Function80
from tcg.ir import Function
from tcg.passes import optimize
from tcg.state import HEADER, Reason
from tcg.text import parse_function
from tests.backend.conftest import Compile, Guest, no_symbol
from tests.tcg.machine import GPR, LAYOUT, ROTATING, Bytes, new_state

PC = 0x1000
PAGE = 4096
X = ROTATING.file.slots
COMPARED = (*X, *GPR.slots)
TRANSCENDENTAL = {"exp2m1", "ylog2x", "ylog2xp1", "arctan", "sin", "cos", "tan"}

STOP = """
define tailcc void @stop80(ptr noalias %env, ptr %rec, ptr %base) nounwind {{
  %record = getelementptr i8, ptr %env, i64 {exit_rec}
  store ptr %rec, ptr %record
  %reason = getelementptr i8, ptr %env, i64 {exit_reason}
  store i32 1, ptr %reason
  ret void
}}
"""
"""What the heads of blocks outside do here."""


class Machine:
    """Compiles functions of the tests' guest and runs them; page 1 of its memory is not there."""

    def __init__(self, client: Client, arena: HostArena, runtime: Runtime, stop: int) -> None:
        self.client, self.arena, self.runtime = client, arena, runtime
        self.guest = Guest(arena, runtime)
        self.guest.protect(PAGE, 0)
        self.guest.set("jump_cache", runtime.new_jump_cache())
        self.head = self.guest.record(stop)

    def resolve(self, symbol: str) -> int:
        return self.head if symbol.startswith(HEAD_PREFIX) else self.runtime.resolve(symbol)

    def compile(self, function: Function) -> int:
        text = region_text(function, 2, (PC,), False, False)
        answer = self.client.call("compile", {"text": text, "options": {"passes": PASSES}})
        code = self.arena.install(Blob.unpack(answer["blob"]), self.resolve)
        return code.exports[function.name]

    def run(self, code: int, state: State) -> Reason:
        view = self.guest.view
        for slot in (*COMPARED, HEADER["x87_control"], HEADER["x87_status"]):
            end = slot.offset + slot.type.bytes
            view[slot.offset : end] = state.m8[slot.offset : end]
        return Reason(self.guest.run(self.guest.record(code)))

    def value(self, offset: int, size: int) -> int:
        return int.from_bytes(self.guest.view[offset : offset + size], "little")


@pytest.fixture(scope="module")
def machine(client: Client, arena: HostArena, runtime: Runtime, compile_text: Compile) -> Machine:
    offsets = {name: slot.offset for name, slot in HEADER.items()}
    stop = arena.install(compile_text(STOP.format(**offsets)), no_symbol).exports["stop80"]
    return Machine(client, arena, runtime, stop)


def function(text: str, name: str = "X") -> Function:
    return parse_function(f"region {name}\nb_1000:\n{text}\ngoto 0x2000", LAYOUT)


def random_float(random: Random) -> int:
    exponent = random.choice((0, 1, 0x3FFF, 0x7FFE, 0x7FFF, *(0x3FFF + n for n in range(-40, 40))))
    significand = random.choice((0, 1 << 63, (1 << 64) - 1, random.getrandbits(64)))
    if exponent:
        significand |= 1 << 63
    return random.getrandbits(1) << 79 | exponent << 64 | significand


def linear(x: int) -> int:
    value = (x >> 64 & 0x7FFF) << 63 | x & (1 << 63) - 1
    return -value if x >> 79 else value


def compare(machine: Machine, text: str, slack: int = 0, turns: int = 40) -> None:
    """Run the function here and in the evaluator, from random registers and environments."""
    evaluated = Evaluator().translate(function(text))
    lowered = function(text)
    optimize(lowered)
    code = machine.compile(lowered)
    for turn in range(turns):
        random = Random(turn)
        state = new_state()
        for slot in X:
            state.set(slot, random_float(random))
        control = random.getrandbits(2) << 10 | random.choice((0, 2, 3)) << 8 | 0x7F
        state.set(HEADER["x87_control"], control)
        state.set(HEADER["x87_status"], random.choice((0, 0x20)))
        assert machine.run(code, state) is Reason.UNTRANSLATED
        evaluated(state, Bytes())
        for slot in X:
            found = machine.value(slot.offset, 10)
            assert abs(linear(found) - linear(state.get(slot))) <= slack, (turn, slot)
        for slot in (*GPR.slots, HEADER["x87_control"], HEADER["x87_status"]):
            assert machine.value(slot.offset, slot.type.bytes) == state.get(slot), (turn, slot)


@pytest.mark.parametrize("op", ["fadd", "fsub", "fmul", "fdiv"])
def test_two_operands(machine: Machine, op: str) -> None:
    compare(machine, f"%0 = get.f80 x1\n%1 = get.f80 x2\n%2 = {op}.f80 %0, %1\nput x3, %2")


@pytest.mark.parametrize("op", ["fsqrt", "frint", "fneg", "fabs"])
def test_one_operand(machine: Machine, op: str) -> None:
    compare(machine, f"%0 = get.f80 x1\n%1 = {op}.f80 %0\nput x3, %1")


@pytest.mark.parametrize("op", ["feq", "flt", "fle", "funo"])
def test_comparison(machine: Machine, op: str) -> None:
    text = f"%0 = get.f80 x1\n%1 = get.f80 x2\n%2 = {op}.f80 %0, %1\n%3 = zext.i32 %2\nput r1, %3"
    compare(machine, text)


@pytest.mark.parametrize("type_", ["i16", "i32", "i64"])
@pytest.mark.parametrize("op", ["ftoint", "ftocut"])
def test_to_integer(machine: Machine, op: str, type_: str) -> None:
    wide = {"i16": "%2 = zext.i32 %1", "i32": "%2 = or.i32 %1, 0", "i64": "%2 = trunc.i32 %1"}
    compare(machine, f"%0 = get.f80 x1\n%1 = {op}.{type_} %0\n{wide[type_]}\nput r1, %2")


@pytest.mark.parametrize("type_", ["f32", "f64"])
def test_narrower_and_back(machine: Machine, type_: str) -> None:
    text = f"%0 = get.f80 x1\n%1 = ftrunc.{type_} %0\n%2 = fext.f80 %1\nput x3, %2"
    compare(machine, text)


@pytest.mark.parametrize("row", FUNCTIONS.values(), ids=repr)
def test_function(machine: Machine, row: Function80) -> None:
    given = "".join(f", %{i}" for i in range(row.operands))
    gets = [f"%{i} = get.f80 x{i}" for i in range(row.operands)]
    text = "\n".join((*gets, f"%8 = fmath.f80 {row.name}{given}", "put x7, %8"))
    if row.name in ("rem", "ieeerem", "class", "signal"):
        text += "\n%9 = fmathcc %8\n%10 = funo.f80 %8, %8\n%11 = select.i32 %10, 0, %9\nput r1, %11"
    slack = 1 if row.name in TRANSCENDENTAL else 0
    compare(machine, text, slack, turns=20 if slack else 40)


def test_the_order_of_what_looks_at_the_environment(machine: Machine) -> None:
    """Sums before and behind a new control word, flags between them."""
    compare(machine, """
        %0 = get.f80 x1
        %1 = get.f80 x2
        f80set 0:i32
        %2 = fdiv.f80 %0, %1
        %3 = f80flags
        put r1, %3
        f80control 0xc7f:i32
        %4 = fdiv.f80 %0, %1
        put x3, %4
        f80control 0x87f:i32
        %5 = fdiv.f80 %0, %1
        put x4, %5
        f80set 4:i32
        %6 = fadd.f80 %0, %1
        put x5, %6
        %7 = f80flags
        put r2, %7
        put x6, %2
    """)  # fmt: skip


def test_a_fault_leaves_the_stack_of_the_host_empty(machine: Machine) -> None:
    """What compiled code had there is gone, and the next code finds room for eight registers."""
    loads = "\n".join(f"%{i} = get.f80 x{i}\n%{i + 8} = fsqrt.f80 %{i}" for i in range(6))
    stores = "\n".join(f"put x{i}, %{i + 8}" for i in range(6))
    text = f"{loads}\nstore.f80.le 0x1800:i32, %8\n{stores}"
    code = machine.compile(function(text, "F"))
    state = new_state()
    state.set(HEADER["x87_control"], 0x37F)
    for i, slot in enumerate(X):
        state.set(slot, (0x3FFF + i) << 64 | 1 << 63)
    for _ in range(9):
        assert machine.run(code, state) is Reason.FAULT
    test_two_operands(machine, "fadd")
