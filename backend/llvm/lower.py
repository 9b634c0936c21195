"""tcg IR to LLVM text, one operation at a time.

`Lowering` holds what handlers and regions share: arithmetic, memory, calls.  How guest slots are
reached and how code is left differs, and is left to the two subclasses in `handlers` and
`regions`.  Guest addresses are made by `getelementptr` from the base pointer, never from
integers, and the two alias scopes tell LLVM that guest memory and guest state do not overlap.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

from backend.llvm import extended, simd
from backend.llvm.extended import is_extended, lower_extended, store_converted, stored_at_once
from backend.llvm.idioms import VECTOR, bulk_function
from tcg import ops
from tcg.floats import MXCSR_ENVIRONMENT
from tcg.ir import Access, Block, Function, Helper, Value, is_local
from tcg.ops import Op
from tcg.passes.graph import reverse_postorder
from tcg.state import GUEST_ADDRESS_MASK, HEADER, JUMP_CACHE_BITS, Head, Slot
from tcg.types import I1, I8, I32, I64, V128, V256, VECTORS, VOID, Type

LLVM_TYPES = {
    "f32": "float", "f64": "double", "f80": "x86_fp80", "v128": "<16 x i8>", "v256": "<32 x i8>",
}  # fmt: skip
LLVM_TYPES.update((t.name, f"<{t.lanes} x {LLVM_TYPES.get(str(t.lane), t.lane)}>") for t in VECTORS)

GUEST = ", !alias.scope !1, !noalias !2"
STATE = ", !alias.scope !2, !noalias !1"
METADATA = """
!0 = distinct !{!0}
!3 = distinct !{!3, !0}
!4 = distinct !{!4, !0}
!1 = !{!3}
!2 = !{!4}
!5 = !{!"branch_weights", i32 2000, i32 1}
!6 = !{!"branch_weights", i32 1, i32 2000}
!7 = !{i8 0, i8 2}
"""
MAX_DISPLACEMENT = 1 << 15
"""What may be added to an address already cut to size.  The guard beside the guest's memory is
larger, and no guest has anything in the first or last so many bytes of its address space."""

SIGNATURE = "ptr noalias %env, ptr %rec, ptr %base"
ATTRIBUTES = "nounwind"

# fmt: off
SIMPLE: dict[Op, str] = {
    ops.ADD: "add {t} {0}, {1}", ops.SUB: "sub {t} {0}, {1}", ops.MUL: "mul {t} {0}, {1}",
    ops.AND: "and {t} {0}, {1}", ops.OR: "or {t} {0}, {1}", ops.XOR: "xor {t} {0}, {1}",
    ops.EQ: "icmp eq {a} {0}, {1}", ops.NE: "icmp ne {a} {0}, {1}",
    ops.ULT: "icmp ult {a} {0}, {1}", ops.ULE: "icmp ule {a} {0}, {1}",
    ops.SLT: "icmp slt {a} {0}, {1}", ops.SLE: "icmp sle {a} {0}, {1}",
    ops.SELECT: "select {a} {0}, {t} {1}, {t} {2}",
    ops.ZEXT: "zext {a} {0} to {t}", ops.SEXT: "sext {a} {0} to {t}",
    ops.TRUNC: "trunc {a} {0} to {t}", ops.BITCAST: "bitcast {a} {0} to {t}",
    ops.FADD: "fadd {t} {0}, {1}", ops.FSUB: "fsub {t} {0}, {1}", ops.FMUL: "fmul {t} {0}, {1}",
    ops.FDIV: "fdiv {t} {0}, {1}", ops.FNEG: "fneg {t} {0}",
    ops.FEQ: "fcmp oeq {a} {0}, {1}", ops.FLT: "fcmp olt {a} {0}, {1}",
    ops.FLE: "fcmp ole {a} {0}, {1}", ops.FUNO: "fcmp uno {a} {0}, {1}",
    ops.FEXT: "fpext {a} {0} to {t}", ops.FTRUNC: "fptrunc {a} {0} to {t}",
    ops.SITOF: "sitofp {a} {0} to {t}", ops.UITOF: "uitofp {a} {0} to {t}",
}
"""Operations that are one LLVM instruction: {t} result type, {a} type of the first operand."""

INTRINSICS: dict[Op, str] = {
    ops.POPCNT: "{t} @llvm.ctpop.{n}({t} {0})", ops.BSWAP: "{t} @llvm.bswap.{n}({t} {0})",
    ops.CLZ: "{t} @llvm.ctlz.{n}({t} {0}, i1 false)",
    ops.CTZ: "{t} @llvm.cttz.{n}({t} {0}, i1 false)",
    ops.ROTL: "{t} @llvm.fshl.{n}({t} {0}, {t} {0}, {t} {1})",
    ops.SMIN: "{t} @llvm.smin.{n}({t} {0}, {t} {1})",
    ops.SMAX: "{t} @llvm.smax.{n}({t} {0}, {t} {1})",
    ops.UMIN: "{t} @llvm.umin.{n}({t} {0}, {t} {1})",
    ops.UMAX: "{t} @llvm.umax.{n}({t} {0}, {t} {1})",
    ops.IABS: "{t} @llvm.abs.{n}({t} {0}, i1 false)",
    ops.SADDS: "{t} @llvm.sadd.sat.{n}({t} {0}, {t} {1})",
    ops.UADDS: "{t} @llvm.uadd.sat.{n}({t} {0}, {t} {1})",
    ops.SSUBS: "{t} @llvm.ssub.sat.{n}({t} {0}, {t} {1})",
    ops.USUBS: "{t} @llvm.usub.sat.{n}({t} {0}, {t} {1})",
    ops.FMA: "{t} @llvm.fma.{n}({t} {0}, {t} {1}, {t} {2})",
    ops.FSQRT: "{t} @llvm.sqrt.{n}({t} {0})", ops.FABS: "{t} @llvm.fabs.{n}({t} {0})",
    ops.FRINT: "{t} @llvm.rint.{n}({t} {0})",
    ops.FTOSI: "{t} @llvm.fptosi.sat.{n}.{m}({a} {0})",
    ops.FTOUI: "{t} @llvm.fptoui.sat.{n}.{m}({a} {0})",
}
"""Operations that are one LLVM intrinsic: {n} result type's, {m} operand type's mangled name."""
# fmt: on

RAISING = frozenset((
    ops.FADD, ops.FSUB, ops.FMUL, ops.FDIV, ops.FMA, ops.FSQRT, ops.FRINT, ops.FEXT, ops.FTRUNC,
    ops.SITOF, ops.UITOF, ops.FTOSI, ops.FTOUI, ops.FEQ, ops.FLT, ops.FLE,
))  # fmt: skip
"""Operations that may set sticky flags.  LLVM does not know that, and would move them."""

SHIFTS = {ops.SHL: "shl", ops.SHR: "lshr", ops.SAR: "ashr"}
DIVISIONS = {ops.UDIV: "udiv", ops.UREM: "urem", ops.SDIV: "sdiv", ops.SREM: "srem"}


def llvm_type(type_: Type) -> str:
    """The LLVM type that holds an IR type."""
    return LLVM_TYPES.get(type_.name, type_.name)


def constant(type_: Type, bits: int) -> str:
    """A constant as LLVM text; floats go through their bit pattern, so that NaNs survive."""
    if type_ is I1:
        return "true" if bits else "false"
    if type_.is_float or is_vector(type_):
        return (
            f"bitcast (i{type_.bits} {bits} to {llvm_type(type_)})" if bits else "zeroinitializer"
        )
    return str(type_.signed(bits))


def is_vector(type_: Type) -> bool:
    """The type is a vector, with lanes or without."""
    return type_.lane is not None or type_ is V128 or type_ is V256


def _first_type(text: str) -> str:
    """The type that stands before a value."""
    return text[: text.index(">") + 1] if text[0] == "<" else text.split(maxsplit=1)[0]


class Declarations:
    """The external symbols that a module's functions mention, each declared once."""

    def __init__(self) -> None:
        self.lines: dict[str, None] = {}
        self.helpers: dict[str, Helper] = {}

    def intrinsic(self, call: str) -> None:
        """Note the intrinsic that `T @llvm.name(T x, ...)` calls."""
        head, _, arguments = call.partition("(")
        types = ", ".join(_first_type(part) for part in arguments.rstrip(")").split(", "))
        self.lines[f"declare {head}({types})"] = None

    def external(self, symbol: str) -> str:
        """Note a head record or a function of the runtime; gives its name in the text."""
        self.lines[f"@{symbol} = external dso_local global i8"] = None
        return f"@{symbol}"


class Lowering:
    """Lowers one IR function; `lines` is its LLVM body."""

    def __init__(self, function: Function, declarations: Declarations) -> None:
        self.function = function
        self.declarations = declarations
        self.lines: list[str] = []
        self.entry: list[str] = []
        self.names: dict[Value, str] = {}
        self.counter = count()
        self.locals: dict[str, str] = {}
        self.status: dict[Value, str] = {}
        self.stored_at_once = stored_at_once(function)
        self.raised: list[Value] = []
        """What may have set sticky flags in this block since they were last looked at."""

    # -- text ------------------------------------------------------------------------------

    def temp(self, expression: str) -> str:
        """Emit `%n = expression`, give %n."""
        name = f"%v{next(self.counter)}"
        self.lines.append(f"  {name} = {expression}")
        return name

    def line(self, text: str) -> None:
        """Emit one instruction without a result."""
        self.lines.append(f"  {text}")

    def label(self, name: str) -> None:
        """Start an LLVM block."""
        self.lines.append(f"{name}:")

    def fresh(self, hint: str) -> str:
        """A label that nobody else has."""
        return f"{hint}.{next(self.counter)}"

    def operand(self, value: Value) -> str:
        """The LLVM text of a value already lowered, a constant or a field."""
        if value.op is ops.CONST:
            return constant(value.type, value.imm)
        return self.names[value]

    # -- the walk --------------------------------------------------------------------------

    def lower_blocks(self) -> None:
        """Lower every block, each after those that dominate it."""
        for block in reverse_postorder(self.function):
            self.start_block(block)
            for inst in block.insts:
                self.lower(inst)

    def start_block(self, block: Block) -> None:
        """Emit what stands before the block's own operations."""
        self.raised.clear()
        self.label(block.label)

    def lower(self, inst: Value) -> None:
        """Lower one operation."""
        if is_extended(inst):
            if lower_extended(self, inst):
                return
        elif inst.op in RAISING:
            self.raised.append(inst)
        simple = SIMPLE.get(inst.op)
        if simple is not None:
            self.names[inst] = self.temp(self._fill(simple, inst))
            return
        intrinsic = INTRINSICS.get(inst.op)
        if intrinsic is not None:
            call = self._fill(intrinsic, inst)
            self.declarations.intrinsic(call)
            self.names[inst] = self.temp(f"call {call}")
            return
        LOWERED[inst.op](self, inst)

    def _fill(self, pattern: str, inst: Value) -> str:
        first = inst.args[0].type
        return pattern.format(
            *map(self.operand, inst.args),
            t=llvm_type(inst.type), a=llvm_type(first), n=inst.type, m=first,
        )  # fmt: skip

    # -- integer operations that LLVM leaves undefined somewhere ------------------------------

    def lower_shift(self, inst: Value) -> None:
        """Shifts count modulo the width."""
        amount, type_ = inst.args[1], inst.type
        width = type_.bits - 1
        if type_.lane is not None:
            width = type_.join([type_.lane.bits - 1] * type_.lanes)
        t = llvm_type(type_)
        if amount.op is ops.CONST:
            text = constant(type_, amount.imm & width)
        else:
            text = self.temp(f"and {t} {self.operand(amount)}, {constant(type_, width)}")
        value = self.operand(inst.args[0])
        self.names[inst] = self.temp(f"{SHIFTS[inst.op]} {t} {value}, {text}")

    def lower_division(self, inst: Value) -> None:
        """Division by zero and the overflow of MIN / -1 have the results the op table says."""
        t, op = inst.type, DIVISIONS[inst.op]
        x, y = map(self.operand, inst.args)
        divisor = inst.args[1]
        if divisor.op is ops.CONST and divisor.imm not in (0, t.mask):
            self.names[inst] = self.temp(f"{op} {t} {x}, {y}")
            return
        zero = self.temp(f"icmp eq {t} {y}, 0")
        unsafe = zero
        if inst.op in (ops.SDIV, ops.SREM):
            minus_one = self.temp(f"icmp eq {t} {y}, -1")
            unsafe = self.temp(f"or i1 {zero}, {minus_one}")
        safe = self.temp(f"select i1 {unsafe}, {t} 1, {t} {y}")
        result = self.temp(f"{op} {t} {x}, {safe}")
        if inst.op is ops.SDIV:
            negated = self.temp(f"sub {t} 0, {x}")
            result = self.temp(f"select i1 {minus_one}, {t} {negated}, {t} {result}")
        at_zero = x if inst.op in (ops.UREM, ops.SREM) else "0"
        self.names[inst] = self.temp(f"select i1 {zero}, {t} {at_zero}, {t} {result}")

    def lower_udiv2(self, inst: Value) -> None:
        """The host's own division of two words, kept from what would trap."""
        high, low, divisor = map(self.operand, inst.args)
        fits = self.temp(f"icmp ult i64 {high}, {divisor}")
        high = self.temp(f"select i1 {fits}, i64 {high}, i64 0")
        low = self.temp(f"select i1 {fits}, i64 {low}, i64 0")
        divisor = self.temp(f"select i1 {fits}, i64 {divisor}, i64 1")
        pair = self.temp(
            'call { i64, i64 } asm "divq $4", "={ax},={dx},{ax},{dx},r,~{flags}"'
            f"(i64 {low}, i64 {high}, i64 {divisor})"
        )
        self.names[inst] = self.temp(f"extractvalue {{ i64, i64 }} {pair}, 0")

    def lower_places(self, inst: Value) -> None:
        """The host's instructions of that name, which are for 32 and 64 bits."""
        t = inst.type
        wide = t if t.bits >= 32 else I32
        x, mask = map(self.operand, inst.args)
        if wide is not t:
            x, mask = (self.temp(f"zext {t} {text} to {wide}") for text in (x, mask))
        call = f"{wide} @llvm.x86.bmi.{inst.op}.{wide.bits}({wide} {x}, {wide} {mask})"
        self.declarations.intrinsic(call)
        result = self.temp(f"call {call}")
        self.names[inst] = result if wide is t else self.temp(f"trunc {wide} {result} to {t}")

    lower_pdep = lower_pext = lower_places

    def lower_crc32(self, inst: Value) -> None:
        """The host's instruction of that name; eight bytes have one with a wide result."""
        data, crc = map(self.operand, inst.args)
        t = inst.args[0].type
        r = "i64" if t is I64 else "i32"
        if t is I64:
            crc = self.temp(f"zext i32 {crc} to i64")
        call = f"{r} @llvm.x86.sse42.crc32.{r[1:]}.{t.bits}({r} {crc}, {t} {data})"
        self.declarations.intrinsic(call)
        result = self.temp(f"call {call}")
        self.names[inst] = self.temp(f"trunc i64 {result} to i32") if t is I64 else result

    def _widened(self, inst: Value, extension: str) -> tuple[str, str, list[str]]:
        """The type of twice the width, and both operands in it."""
        type_ = inst.type
        lane = type_ if type_.lane is None else type_.lane
        wide = f"i{2 * lane.bits}"
        t = wide if type_.lane is None else f"<{type_.lanes} x {wide}>"
        operands = [
            self.temp(f"{extension} {llvm_type(type_)} {self.operand(a)} to {t}") for a in inst.args
        ]
        return t, wide, operands

    def _narrowed(self, inst: Value, t: str, wide: str, text: str, shift: int) -> None:
        lanes = inst.type.lanes
        amount = str(shift)
        if inst.type.lane is not None:
            amount = "<" + ", ".join([f"{wide} {shift}"] * lanes) + ">"
        shifted = self.temp(f"lshr {t} {text}, {amount}")
        self.names[inst] = self.temp(f"trunc {t} {shifted} to {llvm_type(inst.type)}")

    def lower_high(self, inst: Value) -> None:
        """The high half of a product."""
        t, wide, (x, y) = self._widened(inst, "sext" if inst.op is ops.SMULH else "zext")
        product = self.temp(f"mul {t} {x}, {y}")
        self._narrowed(inst, t, wide, product, int(wide[1:]) // 2)

    def lower_uavg(self, inst: Value) -> None:
        """The mean, rounded up."""
        t, wide, (x, y) = self._widened(inst, "zext")
        total = self.temp(f"add {t} {x}, {y}")
        one = "1"
        if inst.type.lane is not None:
            one = "<" + ", ".join([f"{wide} 1"] * inst.type.lanes) + ">"
        self._narrowed(inst, t, wide, self.temp(f"add {t} {total}, {one}"), 1)

    # -- vectors ---------------------------------------------------------------------------

    def lower_splat(self, inst: Value) -> None:
        """The same in every lane."""
        t, lane = llvm_type(inst.type), llvm_type(inst.args[0].type)
        first = self.temp(f"insertelement {t} poison, {lane} {self.operand(inst.args[0])}, i32 0")
        zeros = f"<{inst.type.lanes} x i32> zeroinitializer"
        self.names[inst] = self.temp(f"shufflevector {t} {first}, {t} poison, {zeros}")

    def lower_extract(self, inst: Value) -> None:
        """One lane."""
        t = llvm_type(inst.args[0].type)
        self.names[inst] = self.temp(
            f"extractelement {t} {self.operand(inst.args[0])}, i32 {inst.imm}"
        )

    def lower_insert(self, inst: Value) -> None:
        """Another value in one lane."""
        whole, lane = map(self.operand, inst.args)
        t, one = llvm_type(inst.type), llvm_type(inst.args[1].type)
        self.names[inst] = self.temp(f"insertelement {t} {whole}, {one} {lane}, i32 {inst.imm}")

    def lower_shuffle(self, inst: Value) -> None:
        """Lanes of two vectors."""
        first, second = map(self.operand, inst.args)
        t = llvm_type(inst.args[0].type)
        numbers = ", ".join(f"i32 {number}" for number in inst.imm)
        self.names[inst] = self.temp(
            f"shufflevector {t} {first}, {t} {second}, <{len(inst.imm)} x i32> <{numbers}>"
        )

    def _as(self, text: str, have: str, want: str) -> str:
        return text if have == want else self.temp(f"bitcast {have} {text} to {want}")

    def lower_simd(self, inst: Value) -> None:
        """One vector instruction: an intrinsic, or assembly."""
        row, imm = inst.imm
        declaration = simd.INTRINSICS.get(row.name)
        if declaration is None:
            self._assembly(inst)
            return
        self.declarations.lines[f"declare {declaration.replace(' imm', ' immarg')}"] = None
        result, _, rest = declaration.partition(" @")
        given = [
            f"{want} {self._as(self.operand(arg), llvm_type(arg.type), want)}"
            for arg, want in zip(inst.args, simd.parameters(declaration), strict=True)
        ]
        if declaration.endswith(" imm)"):
            given.append(f"i8 {imm}")
        call = f"call {result} @{rest.partition('(')[0]}({', '.join(given)})"
        self.names[inst] = self._as(self.temp(call), result, llvm_type(inst.type))

    def _assembly(self, inst: Value) -> None:
        row, imm = inst.imm
        template, constraints = simd.assembly(row, imm)
        given = ", ".join(f"{llvm_type(a.type)} {self.operand(a)}" for a in inst.args)
        t = "i8" if inst.type is I1 else llvm_type(inst.type)
        made = self.temp(f'call {t} asm sideeffect "{template}", "{constraints}"({given})')
        self.names[inst] = self.temp(f"trunc i8 {made} to i1") if inst.type is I1 else made

    lower_simdf = lower_simd

    # -- guest state -----------------------------------------------------------------------

    def header(self, field: str) -> str:
        """A pointer to a field of env's header."""
        return self.temp(f"getelementptr i8, ptr %env, i64 {HEADER[field].offset}")

    def set_header(self, field: str, text: str, volatile: str = "") -> None:
        """Store an i32 or i64 value to a header field."""
        type_ = HEADER[field].type
        pointer = self.header(field)
        self.line(f"store{volatile} {type_} {text}, ptr {pointer}{STATE}")

    def slot_pointer(self, slot: Slot) -> str:
        """A pointer to where a slot lives in this kind of code."""
        if is_local(slot):
            return self.local_pointer(slot)
        return self.temp(f"getelementptr i8, ptr %env, i64 {slot.offset}")

    def local_pointer(self, slot: Slot) -> str:
        """The stack slot of a local, made in the function's entry."""
        pointer = self.locals.get(slot.name)
        if pointer is None:
            pointer = self.locals[slot.name] = f"%local{len(self.locals)}"
            self.entry.append(f"  {pointer} = alloca {self.memory_type(slot.type)}")
        return pointer

    @staticmethod
    def memory_type(type_: Type) -> str:
        """The LLVM type of a slot in memory: an i1 takes a byte."""
        return "i8" if type_ is I1 else llvm_type(type_)

    def load_slot(self, pointer: str, type_: Type, scope: str = STATE) -> str:
        """Read a slot by pointer."""
        if type_ is not I1:
            return self.temp(f"load {llvm_type(type_)}, ptr {pointer}{scope}")
        return self.temp(f"trunc i8 {self.temp(f'load i8, ptr {pointer}, !range !7')} to i1")

    def store_slot(self, pointer: str, type_: Type, text: str, volatile: str = "") -> None:
        """Write a slot by pointer."""
        if type_ is I1:
            text = self.temp(f"zext i1 {text} to i8")
        memory = self.memory_type(type_)
        self.line(f"store{volatile} {memory} {text}, ptr {pointer}{STATE}")

    def lower_get(self, inst: Value) -> None:
        """Read a slot or a local."""
        self.names[inst] = self.load_slot(self.slot_pointer(inst.imm), inst.type)

    def lower_put(self, inst: Value) -> None:
        """Write a slot or a local."""
        slot: Slot = inst.imm
        self.store_slot(self.slot_pointer(slot), slot.type, self.operand(inst.args[0]))

    def _indexed(self, inst: Value) -> str:
        file = inst.imm
        index = self.temp(f"zext i32 {self.operand(inst.args[0])} to i64")
        scaled = self.temp(f"mul i64 {index}, {file.stride}")
        start = self.temp(f"getelementptr i8, ptr %env, i64 {file.offset}")
        return self.temp(f"getelementptr i8, ptr {start}, i64 {scaled}")

    def lower_getx(self, inst: Value) -> None:
        """Read a register that a value names."""
        self.names[inst] = self.load_slot(self._indexed(inst), inst.type)

    def lower_putx(self, inst: Value) -> None:
        """Write a register that a value names."""
        self.store_slot(self._indexed(inst), inst.imm.type, self.operand(inst.args[1]))

    # -- guest memory ----------------------------------------------------------------------

    volatile = " volatile"
    """Whether guest accesses are kept exactly as they stand."""
    jump_bits = JUMP_CACHE_BITS
    lookup_symbol = "h_lookup"
    """What a jump goes to that misses the jump cache."""

    def before_access(self) -> None:
        """Emit what makes the place of a fault known."""

    def guest_pointer(self, address: Value) -> str:
        """The host pointer of a guest address; addresses below 64 bits wrap by their type.

        Those of 64 bits are cut to what is reserved for the guest.  A small displacement is added
        after that: where it leads out of the guest's memory, it leads to the guard beside it.
        """
        start, displacement = split_displacement(address)
        text = self.operand(start)
        if address.type.bits < 64:
            text = self.temp(f"zext {address.type} {text} to i64")
        else:
            text = self.temp(f"and i64 {text}, {GUEST_ADDRESS_MASK}")
        pointer = self.temp(f"getelementptr i8, ptr %base, i64 {text}")
        if displacement:
            pointer = self.temp(f"getelementptr i8, ptr {pointer}, i64 {displacement}")
        return pointer

    def swapped(self, access: Access, text: str) -> str:
        """The value in the other byte order, if the access asks for it."""
        if access.order == "le" or access.type.bits == 8:
            return text
        t = f"i{access.type.bits}"
        if access.type.is_float:
            text = self.temp(f"bitcast {llvm_type(access.type)} {text} to {t}")
        call = f"{t} @llvm.bswap.{t}({t} {text})"
        self.declarations.intrinsic(call)
        return self.temp(f"call {call}")

    def lower_load(self, inst: Value) -> None:
        """Read guest memory."""
        access: Access = inst.imm
        t = llvm_type(access.type) if is_vector(access.type) else f"i{access.type.bits}"
        self.before_access()
        pointer = self.guest_pointer(inst.args[0])
        if access.is_checked:
            self.names[inst] = self.temp(simd.aligned_load(t, pointer))
            return
        raw = self.temp(f"load{self.volatile} {t}, ptr {pointer}, align 1{GUEST}")
        if is_vector(access.type):
            self.names[inst] = raw
            return
        raw = self.swapped(Access(I8 if access.type is I8 else _plain(access), access.order), raw)
        if access.type.is_float:
            raw = self.temp(f"bitcast {t} {raw} to {llvm_type(access.type)}")
        self.names[inst] = raw

    def load_extended(self, inst: Value) -> None:
        """Read an f80: ten bytes."""
        self.before_access()
        pointer = self.guest_pointer(inst.args[0])
        t = llvm_type(inst.type)
        self.names[inst] = self.temp(f"load{self.volatile} {t}, ptr {pointer}, align 1")

    def lower_store(self, inst: Value) -> None:
        """Write guest memory."""
        access: Access = inst.imm
        value = inst.args[1]
        if value in self.stored_at_once:
            self.before_access()
            store_converted(self, value, self.guest_pointer(inst.args[0]))
            return
        text = self.operand(value)
        t = f"i{access.type.bits}"
        if is_vector(access.type) or (access.order == "le" and access.type.is_float):
            t = llvm_type(access.type)
        text = self.swapped(access, text)
        self.before_access()
        pointer = self.guest_pointer(inst.args[0])
        if access.is_checked:
            self.line(simd.aligned_store(t, text, pointer))
            return
        self.line(f"store{self.volatile} {t} {text}, ptr {pointer}, align 1{GUEST}")

    def lower_cas(self, inst: Value) -> None:
        """Atomic compare and swap, sequentially consistent."""
        access: Access = inst.imm
        t = str(access.type)
        expected, new = (self.swapped(access, self.operand(a)) for a in inst.args[1:])
        self.before_access()
        pointer = self.guest_pointer(inst.args[0])
        pair = self.temp(
            f"cmpxchg volatile ptr {pointer}, {t} {expected}, {t} {new} seq_cst seq_cst"
        )
        old = self.temp(f"extractvalue {{ {t}, i1 }} {pair}, 0")
        self.names[inst] = self.swapped(access, old)

    def lower_rmw(self, inst: Value) -> None:
        """Atomic read-modify-write; only the host's byte order can do arithmetic in place."""
        access: Access = inst.imm
        t = str(access.type)
        text = self.swapped(access, self.operand(inst.args[1]))
        self.before_access()
        pointer = self.guest_pointer(inst.args[0])
        old = self.temp(f"atomicrmw volatile {access.rmw} ptr {pointer}, {t} {text} seq_cst")
        self.names[inst] = self.swapped(access, old)

    def lower_fence(self, inst: Value) -> None:
        """Order memory accesses."""
        self.line("fence seq_cst")

    # -- the FP environment ----------------------------------------------------------------

    def _settle_floats(self) -> None:
        """Have everything computed that may set flags, before they are read or replaced."""
        for inst in self.raised:
            name, t = self.names[inst], llvm_type(inst.type)
            if inst.type is I1:
                name, t = self.temp(f"zext i1 {name} to i32"), "i32"
            kind = "x" if inst.type.is_float else "r"
            self.line(f'call void asm sideeffect "", "{kind},~{{memory}}"({t} {name})')
        self.raised.clear()

    def _mxcsr(self) -> tuple[str, str]:
        self._settle_floats()
        self.declarations.lines["declare void @llvm.x86.sse.stmxcsr(ptr)"] = None
        self.declarations.lines["declare void @llvm.x86.sse.ldmxcsr(ptr)"] = None
        pointer = self.local_pointer(_MXCSR)
        self.line(f"call void @llvm.x86.sse.stmxcsr(ptr {pointer})")
        return pointer, self.temp(f"load i32, ptr {pointer}")

    def _set_mxcsr(self, keep: int, text: str) -> None:
        pointer, old = self._mxcsr()
        kept = self.temp(f"and i32 {old}, {keep}")
        self.line(f"store i32 {self.temp(f'or i32 {kept}, {text}')}, ptr {pointer}")
        self.line(f"call void @llvm.x86.sse.ldmxcsr(ptr {pointer})")

    def lower_fpget(self, inst: Value) -> None:
        """Read MXCSR, less the masks of exceptions."""
        self.names[inst] = self.temp(f"and i32 {self._mxcsr()[1]}, {MXCSR_ENVIRONMENT}")

    def lower_fpput(self, inst: Value) -> None:
        """Replace MXCSR; exceptions stay masked."""
        made = self.temp(f"and i32 {self.operand(inst.args[0])}, {MXCSR_ENVIRONMENT}")
        self._set_mxcsr(~MXCSR_ENVIRONMENT, made)

    def lower_fpflags(self, inst: Value) -> None:
        """Read the sticky flags: bits 0 to 5 of MXCSR less the denormal flag."""
        self.names[inst] = self.temp(f"and i32 {self._mxcsr()[1]}, 61")

    def lower_fpset(self, inst: Value) -> None:
        """Replace the sticky flags."""
        flags = self.temp(f"and i32 {self.operand(inst.args[0])}, 61")
        self._set_mxcsr(-64, flags)

    def lower_fpround(self, inst: Value) -> None:
        """Set the rounding mode: bits 13 and 14 of MXCSR."""
        mode = self.temp(f"and i32 {self.operand(inst.args[0])}, 3")
        self._set_mxcsr(~0x6000, self.temp(f"shl i32 {mode}, 13"))

    # -- calls -----------------------------------------------------------------------------

    def lower_clock(self, inst: Value) -> None:
        """Ask the host for CLOCK_MONOTONIC through the runtime's table of host functions."""
        table = self.temp(f"load ptr, ptr {self.header('runtime')}{STATE}")
        function = self.temp(f"load ptr, ptr {table}")
        self.names[inst] = self.temp(f"call i64 {function}()")

    def lower_bulk(self, inst: Value) -> None:
        """Touch many bytes of guest memory: a function of the same module."""
        self.before_access()
        count = inst.imm.addresses
        pointers = [f"ptr {self.guest_pointer(address)}" for address in inst.args[:count]]
        rest = [f"{llvm_type(a.type)} {self.operand(a)}" for a in inst.args[count:]]
        name, text = bulk_function(inst.imm, len(rest) - 1, inst.type)
        self.declarations.lines[text] = None
        lanes = VECTOR // inst.imm.size
        for count in (lanes, lanes // 2):
            self.declarations.lines[f"declare i{count} @llvm.cttz.i{count}(i{count}, i1)"] = None
        arguments = ", ".join(pointers + rest)
        self.names[inst] = self.temp(f"call fastcc {inst.type} @{name}({arguments})")

    def lower_call(self, inst: Value) -> None:
        """Call a pure helper, a function of the same module."""
        helper: Helper = inst.imm
        self.declarations.helpers[helper.name] = helper
        arguments = ", ".join(f"{llvm_type(a.type)} {self.operand(a)}" for a in inst.args)
        self.names[inst] = self.temp(
            f"call fastcc {llvm_type(inst.type)} @help_{helper.name}({arguments})"
        )

    # -- control flow ----------------------------------------------------------------------

    def lower_br(self, inst: Value) -> None:
        """Go to another block."""
        self.line(f"br label %{inst.imm}")

    def lower_cbr(self, inst: Value) -> None:
        """Go to one of two blocks."""
        self.branch(self.operand(inst.args[0]), *inst.imm)

    def branch(self, condition: str, yes: str, no: str, likely: bool | None) -> None:
        """Go to one of two labels."""
        weights = {True: ", !prof !5", False: ", !prof !6", None: ""}[likely]
        self.line(f"br i1 {condition}, label %{yes}, label %{no}{weights}")

    def lower_ret(self, inst: Value) -> None:
        """Return from a helper."""
        value = inst.args[0]
        self.line(f"ret {llvm_type(value.type)} {self.operand(value)}")

    def lower_insn(self, inst: Value) -> None:
        """A guest instruction starts; nothing to do."""

    def lower_never(self, inst: Value) -> None:
        """An operation that this kind of code cannot contain."""
        raise ValueError(f"{inst!r} in a {self.function.kind}")

    lower_fmath, lower_fmathcc = extended.lower_fmath, extended.lower_fmathcc
    lower_f80flags, lower_f80set = extended.lower_f80flags, extended.lower_f80set
    lower_f80control = extended.lower_f80control

    lower_field = lower_getf = lower_putf = lower_never
    lower_goto = lower_jump = lower_raise = lower_ask = lower_next = lower_never

    # -- leaving ---------------------------------------------------------------------------

    def leave(self, reason: int, **fields: str) -> None:
        """Give control back to the run loop."""
        for field, text in fields.items():
            self.set_header(field, text)
        self.set_header("exit_reason", str(int(reason)))
        self.line("ret void")

    def tail_call(self, record: str) -> None:
        """Go on in the code of a record or a head."""
        code = self.temp(f"load ptr, ptr {record}")
        self.line(f"musttail call tailcc void {code}(ptr %env, ptr {record}, ptr %base)")
        self.line("ret void")

    def found_head(self, head: str) -> None:
        """Emit what is to be done with the head that a computed jump leads to."""

    def look_up(self, pc: str, pc_type: Type, shift: int) -> None:
        """Find the head for a computed guest pc in the jump cache and go there.

        The index is (pc >> shift) & mask; an entry is one pointer, so that a reader never sees
        half of an update; the head itself tells which pc it stands for.
        """
        wide = pc if pc_type is I64 else self.temp(f"zext {pc_type} {pc} to i64")
        key = self.jump_key(wide)
        cache = self.temp(f"load ptr, ptr {self.header('jump_cache')}{STATE}")
        shifted = self.temp(f"lshr i64 {wide}, {shift}")
        index = self.temp(f"and i64 {shifted}, {(1 << self.jump_bits) - 1}")
        entry = self.temp(f"getelementptr ptr, ptr {cache}, i64 {index}")
        head = self.temp(f"load ptr, ptr {entry}")
        found = self.temp(
            f"load i64, ptr {self.temp(f'getelementptr i8, ptr {head}, i64 {Head.PC}')}"
        )
        hit = self.temp(f"icmp eq i64 {found}, {key}")
        hit_label, miss_label = self.fresh("hit"), self.fresh("miss")
        self.line(f"br i1 {hit}, label %{hit_label}, label %{miss_label}, !prof !5")
        self.label(hit_label)
        self.found_head(head)
        self.tail_call(head)
        self.label(miss_label)
        self.set_header("exit_pc", wide)
        self._runtime_code(self.lookup_symbol)

    def _runtime_code(self, symbol: str) -> None:
        """Go on in the code of a shared handler."""
        self.declarations.lines[f"declare dso_local tailcc void @{symbol}({SIGNATURE})"] = None
        self.line(f"musttail call tailcc void @{symbol}(ptr %env, ptr %rec, ptr %base)")
        self.line("ret void")

    def jump_key(self, wide: str) -> str:
        """What the head of a computed pc has for its own."""
        return wide


def split_displacement(address: Value) -> tuple[Value, int]:
    """An address as another one plus a small number, so that several share the former."""
    if address.op is ops.ADD and address.args[1].op is ops.CONST:
        displacement = address.type.signed(address.args[1].imm)
        if abs(displacement) <= MAX_DISPLACEMENT:
            return address.args[0], displacement
    return address, 0


_MXCSR = Slot("mxcsr", I32, -1)


def _plain(access: Access) -> Type:
    """The integer type of the access's width."""
    return {32: I32, 64: I64}[access.type.bits] if access.type.is_float else access.type


LOWERED: dict[Op, Callable[[Lowering, Value], None]] = {
    **dict.fromkeys(SHIFTS, lambda low, inst: low.lower_shift(inst)),
    **dict.fromkeys(DIVISIONS, lambda low, inst: low.lower_division(inst)),
    **dict.fromkeys((ops.SMULH, ops.UMULH), lambda low, inst: low.lower_high(inst)),
}


def _dispatch(op: Op) -> Callable[[Lowering, Value], None]:
    """Lower through the method that bears the op's name, of whatever subclass."""
    method = f"lower_{op.name}"
    return lambda low, inst: getattr(low, method)(inst)


LOWERED.update(
    (op, _dispatch(op))
    for op in ops.OPS.values()
    if op not in LOWERED and op not in SIMPLE and op not in INTRINSICS and op is not ops.CONST
)


def lower_helper(helper: Helper, declarations: Declarations) -> str:
    """A helper as an internal LLVM function of its own, kept out of line."""
    from tcg.build import Builder

    function = Function("helper", helper.name, params=helper.params, result=helper.result)
    b = Builder(function)
    params = tuple(Value(b, ops.GET, t, (), None) for t in helper.params)
    result = helper.build(b, params)
    assert result is not None, f"helper {helper.name} is pure, so it must give a value"
    b.emit(ops.RET, VOID, (result,))
    lowering = Lowering(function, declarations)
    lowering.names.update((p, f"%p{i}") for i, p in enumerate(params))
    lowering.lower_blocks()
    listed = ", ".join(f"{llvm_type(t)} %p{i}" for i, t in enumerate(helper.params))
    signature = f"{llvm_type(helper.result)} @help_{helper.name}({listed})"
    return "\n".join((
        f"define internal fastcc {signature} {ATTRIBUTES} noinline cold {{",
        "start:", *lowering.entry, f"  br label %{next(iter(function.blocks))}",
        *lowering.lines, "}",
    ))  # fmt: skip


def finish_module(functions: list[str], declarations: Declarations) -> str:
    """The module's whole text: helpers, functions, declarations, metadata."""
    texts: list[str] = []
    done: set[str] = set()
    while pending := [h for name, h in declarations.helpers.items() if name not in done]:
        for helper in pending:
            done.add(helper.name)
            texts.append(lower_helper(helper, declarations))
    return "\n".join((*declarations.lines, *texts, *functions, METADATA))
