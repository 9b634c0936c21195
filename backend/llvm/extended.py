"""Extended floats (f80) in LLVM: x87 code of the host.

Arithmetic is LLVM's constrained intrinsics, which keep their order with everything that looks at
the unit's environment, so rounding, precision and sticky flags are the host's own.  What LLVM has
no intrinsic for is a line of assembly: it takes its operands on the register stack, as LLVM's
constraints {st} and {st(1)} say, and must leave as many there as it gives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tcg import ops
from tcg.fmath import Function80
from tcg.ir import Function, Value
from tcg.ops import Op
from tcg.state import Slot
from tcg.types import F32, F64, F80, I16, I32, I64, Type

if TYPE_CHECKING:
    from backend.llvm.lower import Lowering

STRICT = 'metadata !"round.dynamic", metadata !"fpexcept.strict"'
X = "x86_fp80"

# fmt: off
ARITHMETIC: dict[Op, str] = {
    ops.FADD: "fadd", ops.FSUB: "fsub", ops.FMUL: "fmul", ops.FDIV: "fdiv",
    ops.FSQRT: "sqrt", ops.FRINT: "rint",
}
"""The constrained intrinsics."""

STORES: dict[tuple[Op, Type], tuple[str, str]] = {
    (ops.FTRUNC, F32): ("fstps", "float"),   (ops.FTRUNC, F64): ("fstpl", "double"),
    (ops.FTOINT, I16): ("fistps", "i16"),    (ops.FTOINT, I32): ("fistpl", "i32"),
    (ops.FTOINT, I64): ("fistpll", "i64"),   (ops.FTOCUT, I16): ("fisttps", "i16"),
    (ops.FTOCUT, I32): ("fisttpl", "i32"),   (ops.FTOCUT, I64): ("fisttpll", "i64"),
}
"""Conversions that go through memory: the instruction, and LLVM's type of what it writes."""

KEEP, POP, NONE = "0,{st(1)}", "0,{st(1)},~{st(1)}", ""
FUNCTIONS: dict[str, tuple[str, str]] = {
    "exp2m1":      ("f2xm1", "0"),
    "ylog2x":      ("fyl2x", POP),
    "ylog2xp1":    ("fyl2xp1", POP),
    "arctan":      ("fpatan", POP),
    "sin":         ("fsin", "0"),
    "cos":         ("fcos", "0"),
    "tan":         ("fptan", "0"),
    "rem":         ("fprem", KEEP),
    "ieeerem":     ("fprem1", KEEP),
    "scale":       ("fscale", KEEP),
    "exponent":    ("fxtract\\0Afstp %st(0)", "0"),
    "significand": ("fxtract\\0Afstp %st(1)", "0"),
    "class":       ("fxam", "0"),
    "signal":      ("fcom %st(1)", KEEP),
    "pi":          ("fldpi", NONE),
    "log2_10":     ("fldl2t", NONE),
    "log2_e":      ("fldl2e", NONE),
    "log10_2":     ("fldlg2", NONE),
    "ln_2":        ("fldln2", NONE),
}
# fmt: on
"""The instruction of each function of tcg/fmath.py, and where its operands are.

The operand that the manual calls ST(0) comes first here.
"""

FROM_BELOW = frozenset(("ylog2x", "ylog2xp1", "arctan"))
"""Functions whose first operand is the one in ST(1)."""

STATUS = "fnstsw %ax"
DROP_ONE = "fnstsw %ax\\0Atestl $$1024, %eax\\0Ajnz 1f\\0Afstp %st(0)\\0A1:"
"""fptan pushes a 1, but for operands that are too large."""

MEMORY = Slot("x87", I64, -1)
"""A local for what goes through memory."""


def is_extended(inst: Value) -> bool:
    """The operation works on f80, or gives one."""
    return inst.type is F80 or (bool(inst.args) and inst.args[0].type is F80)


def stored_at_once(function: Function) -> set[Value]:
    """Conversions from f80 that only feed the store behind them, and can be that store."""
    users: dict[Value, Value | None] = {}
    for inst in function.insts():
        for arg in inst.args:
            if (arg.op, arg.type) in STORES:
                users[arg] = None if arg in users else inst
    found = {
        value
        for value, user in users.items()
        if user is not None and user.op is ops.STORE and user.imm.order == "le"
    }
    return found and {value for value in found if _adjacent(function, value, users[value])}


def _adjacent(function: Function, value: Value, user: Value | None) -> bool:
    """Only address arithmetic stands between a conversion and its store."""
    for block in function:
        if value in block.insts:
            rest = block.insts[block.insts.index(value) + 1 :]
            for inst in rest:
                if inst is user:
                    return True
                if inst.op.effects and inst.op is not ops.INSN:
                    return False
    return False


def lower_extended(low: Lowering, inst: Value) -> bool:
    """Lower an operation on f80; gives whether it was one that is different there."""
    op = inst.op
    if op in ARITHMETIC:
        _arithmetic(low, inst)
    elif (op, inst.type) in STORES and inst.args[0].type is F80:
        if inst not in low.stored_at_once:
            pointer = low.local_pointer(MEMORY)
            store_converted(low, inst, pointer)
            low.names[inst] = low.temp(f"load {STORES[op, inst.type][1]}, ptr {pointer}")
    elif op is ops.LOAD:
        low.load_extended(inst)
    else:
        return False
    return True


def _arithmetic(low: Lowering, inst: Value) -> None:
    operands = ", ".join(f"{X} {low.operand(arg)}" for arg in inst.args)
    name = ARITHMETIC[inst.op]
    call = f"{X} @llvm.experimental.constrained.{name}.f80({operands}, {STRICT})"
    low.declarations.intrinsic(call)
    low.names[inst] = low.temp(f"call {call}")


def store_converted(low: Lowering, value: Value, pointer: str) -> None:
    """Convert an f80 into memory, as fst and fist do."""
    mnemonic, type_ = STORES[value.op, value.type]
    low.line(
        f'call void asm sideeffect "{mnemonic} $0", "=*m,{{st}},~{{st}},~{{memory}}"'
        f"(ptr elementtype({type_}) {pointer}, {X} {low.operand(value.args[0])})"
    )


def lower_fmath(low: Lowering, inst: Value) -> None:
    """One instruction of the host's unit; the status word behind it, if somebody asks."""
    row: Function80 = inst.imm
    mnemonic, places = FUNCTIONS[row.name]
    given = inst.args[::-1] if row.name in FROM_BELOW else inst.args
    operands = ", ".join(f"{X} {low.operand(arg)}" for arg in given)
    if places is NONE:
        low.names[inst] = low.temp(f'call {X} asm sideeffect "{mnemonic}", "={{st}}"()')
        return
    status = DROP_ONE if row.name == "tan" else STATUS
    pair = low.temp(
        f'call {{ {X}, i16 }} asm sideeffect "{mnemonic}\\0A{status}", '
        f'"={{st}},={{ax}},{places},~{{flags}}"({operands})'
    )
    low.names[inst] = low.temp(f"extractvalue {{ {X}, i16 }} {pair}, 0")
    low.status[inst] = pair


def lower_fmathcc(low: Lowering, inst: Value) -> None:
    """The condition codes that the function left."""
    word = low.temp(f"extractvalue {{ {X}, i16 }} {low.status[inst.args[0]]}, 1")
    wide = low.temp(f"zext i16 {word} to i32")
    low.names[inst] = low.temp(f"and i32 {wide}, {0x4700}")


def lower_f80flags(low: Lowering, inst: Value) -> None:
    """The sticky flags: those in the host's register, and those from before."""
    word = low.temp('call i16 asm sideeffect "fnstsw %ax", "={ax}"()')
    status = low.temp(f"load volatile i32, ptr {low.header('x87_status')}")
    both = low.temp(f"or i32 {low.temp(f'zext i16 {word} to i32')}, {status}")
    low.names[inst] = low.temp(f"and i32 {both}, 63")


def lower_f80set(low: Lowering, inst: Value) -> None:
    """Replace the sticky flags: the host's are cleared, which costs less than loading them."""
    low.line('call void asm sideeffect "fnclex", ""()')
    low.set_header("x87_status", low.temp(f"and i32 {low.operand(inst.args[0])}, 63"), " volatile")


def lower_f80control(low: Lowering, inst: Value) -> None:
    """Round as a control word says; no exception may trap."""
    word = low.temp(f"or i32 {low.operand(inst.args[0])}, {0x7F}")
    low.set_header("x87_control", low.temp(f"and i32 {word}, {0xFFFF}"), " volatile")
    pointer = low.header("x87_control")
    low.line(
        f'call void asm sideeffect "fldcw $0", "*m,~{{memory}}"(ptr elementtype(i16) {pointer})'
    )
