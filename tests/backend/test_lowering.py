"""Regions in LLVM against the evaluator: random functions, compiled and run as they stand.

The evaluator knows only the op table, so this is the test of every op's lowering, of what the
passes did to it, and of the ways out of a region.
"""

from __future__ import annotations

import os
from random import Random
from typing import NamedTuple

import pytest

from backend.llvm.arena import HostArena
from backend.llvm.blob import HEAD_PREFIX, Blob
from backend.llvm.client import Client
from backend.llvm.lower import Declarations, finish_module
from backend.llvm.regions import PASSES, RegionLowering, region_text
from backend.llvm.runtime import Runtime
from tcg import ops
from tcg.build import Builder
from tcg.evaluate import Evaluator, State
from tcg.ir import Function
from tcg.passes import optimize
from tcg.state import HEADER, Reason
from tcg.text import parse_function, print_function
from tcg.types import F32, F64, I1, I8, I16, I32, I64, Type, integer
from tests.backend.conftest import Compile, Guest, no_symbol
from tests.tcg.machine import (
    CONVERSIONS,
    FLAGS,
    FPR,
    GPR,
    HELPERS,
    LAYOUT,
    PURE,
    SLOTS,
    Bytes,
    RandomFunction,
    random_state,
)

PC = 0x1000
PAGE = 4096
TURNS = 3
OPS = [op for op in PURE if op not in (ops.FNEG, ops.FABS, ops.BITCAST)]
"""Random functions have no ops that make other NaNs than the default one: which of two NaNs comes
back is LLVM's choice, and the frontends take care of it."""

STOP = """
define tailcc void @stop(ptr noalias %env, ptr %rec, ptr %base) nounwind {{
  %record = getelementptr i8, ptr %env, i64 {exit_rec}
  store ptr %rec, ptr %record
  %reason = getelementptr i8, ptr %env, i64 {exit_reason}
  store i32 1, ptr %reason
  ret void
}}
"""
"""What the heads of blocks outside do here: say which head it was."""


class Mode(NamedTuple):
    """How a function is prepared and lowered."""

    exact: bool
    parallel: bool
    optimized: bool


class Machine:
    """Compiles and runs functions of the tests' small guest; page 1 of its memory is not there."""

    def __init__(self, client: Client, arena: HostArena, runtime: Runtime, stop: int) -> None:
        self.client = client
        self.arena = arena
        self.runtime = runtime
        self.guest = Guest(arena, runtime)
        self.guest.protect(PAGE, 0)
        self.guest.set("jump_cache", runtime.new_jump_cache())
        self.stop = stop
        self.heads: dict[int, int] = {}

    def head(self, pc: int) -> int:
        """The head record of a block outside."""
        if pc not in self.heads:
            self.heads[pc] = self.guest.record(self.stop)
        return self.heads[pc]

    def resolve(self, symbol: str) -> int:
        if symbol.startswith(HEAD_PREFIX):
            return self.head(int(symbol[len(HEAD_PREFIX) :], 16))
        return self.runtime.resolve(symbol)

    def compile(self, function: Function, mode: Mode) -> int:
        """The address of the function's code."""
        text = region_text(function, 2, (PC,), mode.exact, mode.parallel)
        answer = self.client.call("compile", {"text": text, "options": {"passes": PASSES}})
        code = self.arena.install(Blob.unpack(answer["blob"]), self.resolve)
        return code.exports[function.name]

    def run(self, code: int, state: State, memory: bytes) -> tuple[object, ...]:
        """How the code leaves, in terms of the guest, from this state and this first page."""
        view = self.guest.view
        for slot in SLOTS:
            end = slot.offset + slot.type.bytes
            view[slot.offset : end] = state.m8[slot.offset : end]
        self.guest.memory[:PAGE] = memory
        self.guest.set("current_pc", 0)
        reason = Reason(self.guest.run(self.guest.record(code)))
        get = self.guest.get
        if reason is Reason.UNTRANSLATED:
            pcs = {record: pc for pc, record in self.heads.items()}
            return Reason.LOOKUP, pcs[get("exit_rec")]
        if reason is Reason.FAULT:
            return reason, get("fault_address"), bool(get("fault_write"))
        details = () if reason is Reason.LOOKUP else (get("exit_info"),)
        return reason, get("exit_pc"), *details

    def slots(self) -> dict[str, int]:
        """All slots of the guest after a run."""
        view = self.guest.view
        return {
            s.name: int.from_bytes(view[s.offset : s.offset + s.type.bytes], "little")
            for s in SLOTS
        }


@pytest.fixture(scope="module")
def machine(client: Client, arena: HostArena, runtime: Runtime, compile_text: Compile) -> Machine:
    offsets = {name: slot.offset for name, slot in HEADER.items()}
    stop = arena.install(compile_text(STOP.format(**offsets)), no_symbol).exports["stop"]
    return Machine(client, arena, runtime, stop)


MODES = [
    Mode(exact=False, parallel=False, optimized=True),
    Mode(exact=False, parallel=True, optimized=True),
    Mode(exact=True, parallel=True, optimized=True),
    Mode(exact=False, parallel=False, optimized=False),
]


SEEDS = range(int(os.environ.get("QEMUPY_TEST_SEED", "0")), 100000)[:40]


def made(seed: int) -> Function:
    """The random function of that seed."""
    integers = (I1, I8, I16, I32, I64)
    return RandomFunction(
        Random(seed), 40, polls=True, far=PAGE, pure=OPS, integers=integers, one_nan=True
    ).function


@pytest.mark.parametrize("mode", MODES, ids=str)
@pytest.mark.parametrize("seed", SEEDS)
def test_like_the_evaluator(machine: Machine, mode: Mode, seed: int) -> None:
    compare(machine, mode, seed)


def compare(machine: Machine, mode: Mode, seed: int) -> None:
    function = made(seed)
    text = print_function(function)
    evaluated = Evaluator().translate(function)
    lowered = parse_function(text, LAYOUT, HELPERS)
    if mode.optimized:
        optimize(lowered, mode.exact)
    code = machine.compile(lowered, mode)
    for turn in range(TURNS):
        random = Random(100 * seed + turn)
        state, memory = random_state(random, one_nan=True), Bytes(random.randbytes(PAGE))
        found = machine.run(code, state, bytes(memory.data))
        left = evaluated(state, memory)
        if left.reason is Reason.FAULT and not mode.parallel:
            continue  # what LLVM does not need is not loaded, and so does not fault
        assert found == expected_way(left), text
        assert machine.guest.memory[:PAGE] == bytes(memory.data), text
        if left.reason is not Reason.FAULT or mode.exact:
            assert machine.slots() == {s.name: state.get(s) for s in SLOTS}, text


def expected_way(left: tuple[Reason, int, int, bool, bool]) -> tuple[object, ...]:
    reason, pc, info, is_write, _ = left
    if reason is Reason.FAULT:
        return reason, info, is_write
    return (reason, pc) if reason is Reason.LOOKUP else (reason, pc, info)


def uses() -> list[tuple[ops.Op, Type, Type]]:
    """Every pure op with every pair of operand type and result type that it can have here."""
    found = []
    for op in PURE:
        if op in CONVERSIONS:
            found += [(op, a, b) for a, b in CONVERSIONS[op] if {a, b} <= SINGLES.keys()]
            continue
        types = [F32, F64] if op in ops.FLOAT_OPS else [I16, I32, I64]
        if op not in ops.FLOAT_OPS and op is not ops.BSWAP:
            types += [I1, I8]
        found += [(op, t, I1 if op.result == "i1" else t) for t in types]
    return found


SINGLES = {
    slot.type: slot for slot in SLOTS if slot.name in ("cr0.lt", "b", "h", "r0", "d", "s", "f0")
}
PAIRS = {**SINGLES, I32: GPR.slots[1], F64: FPR.slots[1], I1: FLAGS.slots[1]}


def one_op(op: ops.Op, source: Type, result: Type) -> Function:
    """A function that applies the op to slots of that type, and puts the result into another."""
    b = Builder(Function("region", f"U_{op}_{source}_{result}"))
    slots = [SINGLES[source], PAIRS[source], SINGLES[source]]
    if op is ops.SELECT:
        slots.insert(0, FLAGS.slots[2])
    args = tuple(b.get(slot) for slot in slots[: len(op.operands)])
    b.put(SINGLES[result], b.emit(op, result, args))
    b.goto(PC)
    return b.function


def mixed_op(name: str) -> Function:
    """A function that puts into "d" what the op gives for slots of the types it takes."""
    b = Builder(Function("region", f"M_{name}"))
    if name == "udiv2":
        high, low = (b.get(PAIRS[I32]).zext(I64), b.get(SINGLES[I64]))
        result = b.udiv2(high, low, high + b.get(SINGLES[I8]).zext(I64))
    else:
        data = b.get(SINGLES[integer(int(name[5:]))])
        result = b.crc32(b.get(PAIRS[I32]), data).zext(I64)
    b.put(SINGLES[I64], result)
    b.goto(PC)
    return b.function


@pytest.mark.parametrize("name", ["udiv2", "crc32_8", "crc32_16", "crc32_32", "crc32_64"])
def test_mixed_op(machine: Machine, name: str) -> None:
    """Operations whose operands have several types, or one that is prescribed."""
    function = mixed_op(name.replace("_", ""))
    evaluated = Evaluator().translate(function)
    code = machine.compile(function, MODES[3])
    for turn in range(60):
        state = random_state(Random(turn), one_nan=True)
        machine.run(code, state, bytes(PAGE))
        evaluated(state, Bytes())
        assert machine.slots()["d"] == state.get(SINGLES[I64]), turn


@pytest.fixture(scope="module")
def op_code(machine: Machine) -> dict[str, int]:
    """The code of one_op's functions, all from one module."""
    declarations = Declarations()
    texts = [RegionLowering(one_op(*use), declarations, 2, (PC,), False).text() for use in uses()]
    text = finish_module(texts, declarations)
    answer = machine.client.call("compile", {"text": text, "options": {"passes": PASSES}})
    return machine.arena.install(Blob.unpack(answer["blob"]), machine.resolve).exports


@pytest.mark.parametrize(("op", "source", "result"), uses(), ids=str)
def test_op(
    machine: Machine, op_code: dict[str, int], op: ops.Op, source: Type, result: Type
) -> None:
    """One op on values of one type, each of which may be at an edge."""
    function = one_op(op, source, result)
    evaluated = Evaluator().translate(function)
    slot = SINGLES[result]
    for turn in range(60):
        state = random_state(Random(turn), one_nan=len(op.operands) > 1)
        machine.run(op_code[function.name], state, bytes(PAGE))
        evaluated(state, Bytes())
        assert machine.slots()[slot.name] == state.get(slot), turn
