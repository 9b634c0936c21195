"""Vector operations in LLVM against the evaluator: every op with lanes on every vector type, and
every row of tcg/simd, in both kinds of code.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import product
from random import Random
from typing import NamedTuple

import pytest

from backend.llvm import simd
from backend.llvm.blob import Blob
from backend.llvm.halves import find_pairs
from backend.llvm.lower import Declarations, finish_module
from backend.llvm.regions import PASSES, RegionLowering
from tcg import floats, ops
from tcg.build import Builder
from tcg.evaluate import Evaluator
from tcg.ir import Function, Value
from tcg.ops import OPS, Op
from tcg.simd import SIMD, Simd
from tcg.state import HEADER
from tcg.types import (
    F32,
    F64,
    FULL_VECTORS,
    I1,
    I8,
    I16,
    I32,
    I64,
    I128,
    V128,
    V256,
    Type,
    integer,
    vector,
)  # fmt: skip
from tcg.verify import verify
from tests.backend.test_lowering import PAGE, PC, Machine, machine
from tests.tcg.machine import LAYOUT, Bytes, new_state

__all__ = ["machine"]

V = tuple(LAYOUT.slots[f"v{i}"] for i in range(6))
"""Three operands' lower and upper halves."""
TURNS = 12


class Use(NamedTuple):
    """An op on vectors: its operands' type (but for select's condition) and its result's."""

    op: Op
    source: Type
    result: Type

    def __str__(self) -> str:
        return f"{self.op}_{self.source}_{self.result}"


def uses() -> Iterator[Use]:
    """Every op that has lanes with every vector type that suits it."""
    for op in OPS.values():
        if not op.lanes:
            continue
        if "B" in op.operands:
            yield from conversions(op)
            continue
        for type_ in FULL_VECTORS:
            if type_.is_float != (op in ops.FLOAT_OPS) and op is not ops.SELECT:
                continue
            if op is ops.BSWAP and type_.lane is I8:
                continue
            yield Use(op, type_, vector(I1, type_.lanes) if op.result == "i1" else type_)


PAIRS = {
    "zext": ((I8, I16), (I8, I32), (I8, I64), (I16, I32), (I16, I64), (I32, I64)),
    "fext": ((F32, F64),),
    "ftosi": ((F32, I32), (F64, I64)),
    "sitof": ((I32, F32), (I32, F64), (I64, F64)),
}
PAIRS["sext"] = PAIRS["zext"]
PAIRS["trunc"] = tuple((b, a) for a, b in PAIRS["zext"])
PAIRS["ftrunc"] = ((F64, F32),)
PAIRS["ftoui"], PAIRS["uitof"] = PAIRS["ftosi"], PAIRS["sitof"]


def conversions(op: Op) -> Iterator[Use]:
    for source, result in PAIRS[op.name]:
        wide = max(source.bits, result.bits)
        for lanes in (128 // wide, 256 // wide):
            yield Use(op, vector(source, lanes), vector(result, lanes))


def operand(b: Builder, number: int, type_: Type) -> Value:
    """Operand `number` as that type: the low bits of its two slots."""
    if type_ is V256 or type_.bits == 256:
        low, high = (b.get(slot).bitcast(vector(I64, 2)) for slot in V[2 * number :][:2])
        return b.shuffle(low, high, (0, 1, 2, 3)).bitcast(type_)
    low = b.get(V[2 * number])
    if type_.bits == 128:
        return low.bitcast(type_)
    if type_.lane is not None:
        whole = low.bitcast(vector(type_.lane, 128 // type_.lane.bits))
        return b.shuffle(whole, whole, range(type_.lanes))
    return low.bitcast(I128).trunc(type_)


def put_result(b: Builder, value: Value) -> None:
    """Put a value of any type into v0 and v1."""
    type_ = value.type
    if type_.lane is I1:
        value = (
            value.sext(vector(integer(128 // max(type_.lanes, 2)), type_.lanes))
            if (type_.lanes <= 16)
            else value.sext(vector(I8, 32))
        )
    elif type_.lane is not None and type_.bits < 128:
        lanes = range(type_.lanes)
        zero = b.const(type_, 0)
        value = b.shuffle(
            value, zero, [*lanes, *[type_.lanes] * (128 // type_.lane.bits - type_.lanes)]
        )
    if value.type.bits < 128:
        value = value.zext(I128)
    if value.type.bits == 128:
        b.put(V[0], value.bitcast(V128))
        return
    words = value.bitcast(vector(I64, 4))
    b.put(V[0], b.shuffle(words, words, (0, 1)).bitcast(V128))
    b.put(V[1], b.shuffle(words, words, (2, 3)).bitcast(V128))


def function_of(use: Use) -> Function:
    b = Builder(Function("region", f"U_{use}"))
    args = [operand(b, i, use.source) for i in range(len(use.op.operands))]
    if use.op is ops.SELECT:
        args[0] = args[0].bitcast(
            vector(integer(use.source.bits // use.source.lanes), use.source.lanes)
        )
        args[0] = args[0].slt(b.const(args[0].type, 0))
    put_result(b, b.emit(use.op, use.result, tuple(args)))
    b.goto(PC)
    return b.function


def code_of(machine: Machine, functions: list[Function]) -> dict[str, int]:
    declarations = Declarations()
    texts = []
    for function in functions:
        verify(function, LAYOUT)
        texts.append(RegionLowering(function, declarations, 2, (PC,), False).text())
    answer = machine.client.call(
        "compile", {"text": finish_module(texts, declarations), "options": {"passes": PASSES}}
    )
    return machine.arena.install(Blob.unpack(answer["blob"]), machine.resolve).exports


@pytest.fixture(scope="module")
def op_code(machine: Machine) -> dict[str, int]:
    return code_of(machine, [function_of(use) for use in uses()])


EDGES = {
    8: (0, 1, 0x7F, 0x80, 0xFF, 5),
    16: (0, 1, 0x7FFF, 0x8000, 0xFFFF, 0x00FF),
    32: (0, 1, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 31),
    64: (0, 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, 63),
}
NUMBERS = (0.0, 1.0, -1.5, 2.5, 1e10, -3e9, 0.1, 1e-3, 4e18, float("inf"), float("-inf"))
PATTERNS = {
    32: (*(struct.unpack("<I", struct.pack("<f", x))[0] for x in NUMBERS),
         0x8000_0000, 1, 0x8000_0003, 0x0080_0000, 0x7F7F_FFFF, 0xFFC0_0000, 0x7F80_0001,
         0x7FC1_2345),
    64: (*(struct.unpack("<Q", struct.pack("<d", x))[0] for x in NUMBERS),
         1 << 63, 1, (1 << 63) + 5, 1 << 52, 0x7FEF << 48, 0xFFF8 << 48, (0x7FF0 << 48) + 1,
         (0x7FF8 << 48) + 0x1234),
}  # fmt: skip


def value_of(random: Random, lane: Type, one_nan: bool) -> int:
    """256 bits of lanes, many of them at edges; `one_nan`: with no NaN but the default one."""
    made = 0
    for at in range(0, 256, lane.bits):
        edges = PATTERNS[lane.bits] if lane.is_float else EDGES[lane.bits]
        x = random.choice(edges) if random.random() < 0.7 else random.getrandbits(lane.bits)
        if one_nan and floats.is_nan(floats.FORMATS[lane], x):
            x = floats.FORMATS[lane].default_nan
        made |= x << at
    return made


def compare(machine: Machine, code: int, function: Function, values: list[int], mxcsr: int) -> None:
    state = new_state({"mxcsr": mxcsr})
    for i, value in enumerate(values):
        state.set(V[2 * i], value & V128.mask)
        state.set(V[2 * i + 1], value >> 128)
    machine.guest.set("mxcsr", mxcsr)
    machine.run(code, state, bytes(PAGE))
    Evaluator().run(function, state, Bytes())
    found = machine.slots()
    assert [hex(found[slot.name]) for slot in V[:2]] == [hex(state.get(slot)) for slot in V[:2]], (
        [hex(value) for value in values], hex(mxcsr),
    )  # fmt: skip
    if function.name.startswith("S_"):
        raised = machine.guest.get("mxcsr"), state.get(HEADER["mxcsr"])
        assert hex(raised[0]) == hex(raised[1]), ([hex(value) for value in values], hex(mxcsr))


@pytest.mark.parametrize("use", list(uses()), ids=str)
def test_op(machine: Machine, op_code: dict[str, int], use: Use) -> None:
    function = function_of(use)
    random = Random(str(use))
    lane = use.source.lane
    assert lane is not None
    one_nan = use.op in ops.FLOAT_OPS and lane.is_float
    for _ in range(TURNS):
        values = [value_of(random, lane, one_nan) for _ in range(3)]
        compare(machine, op_code[function.name], function, values, 0x1F80)


# -- rows ------------------------------------------------------------------------------------------

ESTIMATES = ("rcp", "rsqrt")
IMMEDIATES = {
    "cmp": range(32), "round": range(16), "dp": (0xFF, 0x71, 0x3F, 0x31), "mpsadbw": (0, 5, 0x3F),
    "pclmul": (0, 1, 16, 17), "aeskey": (0, 0x1B), "cvtps2ph": range(8),
    "pcmp": (0, 0x0D, 0x1A, 0x44, 0x7B, 0x38, 0x21, 0x46, 0x0C, 0x18),
}  # fmt: skip


def cases() -> Iterator[tuple[Simd, int]]:
    for row in SIMD.values():
        if row.name.startswith(ESTIMATES):
            continue
        listed = next((n for key, n in IMMEDIATES.items() if row.name.startswith(key)), (0,))
        yield from product((row,), listed)


def row_function(row: Simd, imm: int) -> Function:
    b = Builder(Function("region", f"S_{row}_{imm}"))
    if len(row.operands) == 4:
        given = (0, 1, 2, 2)
        args = [operand(b, n, t) for n, t in zip(given, row.operands, strict=True)]
        args[3] = args[3] >> 4
    else:
        args = [operand(b, i, t) for i, t in enumerate(row.operands)]
    put_result(b, b.simd(row.name, *args, imm=imm))
    b.goto(PC)
    return b.function


@pytest.fixture(scope="module")
def row_code(machine: Machine) -> dict[str, int]:
    return code_of(machine, [row_function(*case) for case in cases()])


def lane_of(row: Simd) -> Type:
    """What the operands' lanes are, to make values that matter."""
    name = row.name.removesuffix("_256")
    if not row.raises:
        return {"b": I8, "w": I16, "d": I32, "q": I64}.get(name[-1], I8)
    if name.startswith(("cvtdq", "cvtsi")):
        return I64 if name.endswith("q") else I32
    if name.startswith(("cvtps", "cvtss", "cvttps", "cvttss")):
        return F32
    if name.startswith(("cvt",)):
        return F64
    return F32 if name.endswith("s") and not name.endswith(("pd", "sd")) else F64


MODES = (0x1F80, 0x3F80, 0x5F80, 0x7F80, 0x1FC0, 0x9F80, 0x9FC0, 0x1FBF)


@pytest.mark.parametrize(("row", "imm"), list(cases()), ids=str)
def test_row(machine: Machine, row_code: dict[str, int], row: Simd, imm: int) -> None:
    function = row_function(row, imm)
    random = Random(f"{row} {imm}")
    for turn in range(2 * TURNS):
        values = [value_of(random, lane_of(row), one_nan=False) for _ in range(3)]
        mxcsr = MODES[turn % len(MODES)] if row.raises else 0x1F80
        compare(machine, row_code[function.name], function, values, mxcsr)


def old_cases() -> list[tuple[Simd, int]]:
    """The float rows that a host without AVX has."""
    return [
        (row, imm)
        for row, imm in cases()
        if row.raises
        and V256 not in (row.result, *row.operands)
        and not row.name.startswith(("fm", "fnm", "cvtph", "cvtps2ph"))
        and not (row.name.startswith("cmp") and imm > 7)
    ]


def test_old_encodings(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simd, "host_has_avx", lambda: False)
    code = code_of(machine, [row_function(*case) for case in old_cases()])
    for row, imm in old_cases():
        function = row_function(row, imm)
        random = Random(f"{row} {imm}")
        for _ in range(3):
            values = [value_of(random, lane_of(row), one_nan=False) for _ in range(3)]
            compare(machine, code[function.name], function, values, 0x1F80)


IN_REGISTERS = """
define tailcc void @R_{name}(ptr noalias %env, ptr %rec, ptr %base) nounwind {{
  %at = getelementptr i8, ptr %env, i64 {second}
  %a = load <16 x i8>, ptr %at
  %bt = getelementptr i8, ptr %env, i64 {third}
  %b = load <16 x i8>, ptr %bt
  %r = call <16 x i8> asm sideeffect "{template}", "={{xmm0}},{{xmm1}},{{xmm9}}"(<16 x i8> %a, <16 x i8> %b)
  %rt = getelementptr i8, ptr %env, i64 {first}
  store <16 x i8> %r, ptr %rt
  %reason = getelementptr i8, ptr %env, i64 {exit_reason}
  store i32 3, ptr %reason
  ret void
}}
"""  # noqa: E501
"""An instruction whose second source alone is one of the registers that need a longer prefix."""


@pytest.mark.skipif(not simd.host_has_avx(), reason="the host has no AVX")
@pytest.mark.parametrize(("type_", "suffix"), [(F32, "s"), (F64, "d")], ids=str)
def test_the_first_nan_comes_back(machine: Machine, type_: Type, suffix: str) -> None:
    """An assembler may not swap the operands of a sum for a shorter encoding."""
    offsets = {"first": V[0].offset, "second": V[1].offset, "third": V[2].offset}
    offsets["exit_reason"] = HEADER["exit_reason"].offset
    nan = floats.FORMATS[type_].infinity | floats.FORMATS[type_].quiet_bit
    values = {V[1]: nan | 1, V[2]: nan | 2}
    for operation in ("add", "sub", "mul", "div", "min", "max", "hadd", "addsub"):
        for kind in "ps":
            row = SIMD.get(f"{operation}{kind}{suffix}")
            if row is None:
                continue
            template, _ = simd.assembly(row, 0)
            text = IN_REGISTERS.format(name=row.name, template=template, **offsets)
            answer = machine.client.call("compile", {"text": text, "options": {}})
            code = machine.arena.install(Blob.unpack(answer["blob"]), machine.resolve)
            state = new_state({"mxcsr": 0x1F80, "v1": values[V[1]], "v2": values[V[2]]})
            machine.run(code.exports[f"R_{row.name}"], state, bytes(PAGE))
            expected = row.meaning(0, values[V[1]], values[V[2]], floats.Environment())
            assert hex(machine.slots()["v0"]) == hex(expected), row.name


# -- two slots that a region keeps as one value ----------------------------------------------------


def halves_function() -> Function:
    """A loop that joins slots, splits the result, and now and then writes a half alone."""
    b = Builder(Function("region", "H"))
    words, half = vector(I32, 8), vector(I32, 4)
    left = b.local(I32)
    b.put(left, 3)
    with b.loop() as loop:
        b.poll(PC)
        loop.leave_if(b.get(left).eq(0))
        b.put(left, b.get(left) - 1)
        total = operand(b, 0, words) + operand(b, 1, words)
        put_result(b, total.bitcast(V256))
        b.put(V[2], (b.get(V[2]).bitcast(half) + b.get(V[1]).bitcast(half)).bitcast(V128))
        with b.when(b.get(left).eq(1)):
            b.put(V[1], b.get(V[3]))
        twice = b.get(V[0]).bitcast(vector(I64, 2))
        b.put(V[4], b.extract(b.shuffle(twice, twice, (0, 1, 2, 3)), 2).zext(I128).bitcast(V128))
    b.goto(PC + 4)
    return b.function


def test_halves_of_one_value(machine: Machine) -> None:
    assert set(find_pairs(halves_function(), ())) == set(V[:4])
    function = halves_function()
    code = code_of(machine, [function])["H"]
    random = Random("halves")
    for _ in range(TURNS):
        values = [random.getrandbits(256) for _ in range(3)]
        state = new_state({"mxcsr": 0x1F80})
        for i, value in enumerate(values):
            state.set(V[2 * i], value & V128.mask)
            state.set(V[2 * i + 1], value >> 128)
        machine.run(code, state, bytes(PAGE))
        Evaluator().run(function, state, Bytes())
        found = machine.slots()
        assert {s.name: found[s.name] for s in V} == {s.name: state.get(s) for s in V}
