"""The evaluator: IR run in plain Python.  It is what `-accel interp` is, and the oracle of tests.

A function is turned once into Python source that calls the op table's own meanings, so that
there is no second definition of any op:

    %1 = add.i32 %0, 42            v1 = add(I32, I32, v0, 42) & 0xffffffff
    put r3, %1                     m32[113] = v1
    goto 0x10000104                return Left(LOOKUP, 0x10000104)

The guest's FP environment is an object made from the header's `mxcsr` slot on the way in and
written back on the way out; Python's own never changes.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from time import monotonic_ns
from typing import Any, NamedTuple, Protocol

from tcg import floats, ops
from tcg.build import Builder
from tcg.bulk import run_bulk
from tcg.faults import GuestFault, Misaligned
from tcg.frontend import GuestException
from tcg.ir import Access, Block, Function, Helper, Value, is_local
from tcg.state import GUEST_ADDRESS_MASK, HEADER, File, Reason, Slot
from tcg.types import F80, I1, I64, VOID, Type


class Memory(Protocol):
    """Guest memory as the evaluator sees it; both raise GuestFault."""

    def read(self, address: int, size: int) -> bytes:
        """`size` bytes at a guest address."""

    def write(self, address: int, data: bytes) -> None:
        """Write bytes at a guest address."""


class Left(NamedTuple):
    """How IR was left: why, the guest pc to go on at (of a fault: where it was), and details.

    `info`: the service of ASK, the code of EXCEPTION, the address of FAULT.  A `next` leaves with
    Reason.NONE.
    """

    reason: Reason
    pc: int = 0
    info: int = 0
    is_write: bool = False
    is_bus: bool = False


class State:
    """A guest CPU's state in host memory, seen as arrays of 1, 2, 4 and 8 byte numbers.

    `buffer` is writable and as long as its layout, rounded up to 8 bytes.
    """

    __slots__ = ("m8", "m16", "m32", "m64")

    def __init__(self, buffer: Any) -> None:
        self.m8 = memoryview(buffer).cast("B")
        whole = self.m8[: len(self.m8) & ~7]
        self.m16, self.m32, self.m64 = whole.cast("H"), whole.cast("I"), whole.cast("Q")

    def get(self, slot: Slot) -> int:
        """The value of a slot."""
        return int.from_bytes(self.m8[slot.offset : slot.offset + slot.type.bytes], "little")

    def set(self, slot: Slot, value: int) -> None:
        """Set a slot."""
        end = slot.offset + slot.type.bytes
        self.m8[slot.offset : end] = value.to_bytes(slot.type.bytes, "little")


Runner = Callable[[State, Memory], Left]
"""A translated function: runs once and says how it left."""

HelperRunner = Callable[..., int]
"""A translated helper: takes the FP environment and the operands."""

_TOUCH_ENVIRONMENT = ops.FLOAT_OPS | {
    ops.FPGET, ops.FPPUT, ops.FPFLAGS, ops.FPSET, ops.FPROUND, ops.CALL, ops.SIMDF,
}  # fmt: skip
_VIEWS = {1: ("m8", 0), 2: ("m16", 1), 4: ("m32", 2), 8: ("m64", 3)}
_ORDERS = {"be": "big", "le": "little"}
# fmt: off
_RMW: dict[str, Callable[[int, int], int]] = {
    "add":  lambda old, x: old + x,
    "and":  lambda old, x: old & x,
    "or":   lambda old, x: old | x,
    "xor":  lambda old, x: old ^ x,
    "xchg": lambda _, x: x,
}
# fmt: on


_ENVIRONMENT_80 = frozenset((ops.F80FLAGS, ops.F80SET, ops.F80CONTROL, ops.FMATH))


def _is_extended(inst: Value) -> bool:
    """The operation has to do with f80 and its environment."""
    if inst.type is F80 or inst.op in _ENVIRONMENT_80:
        return True
    return any(arg.type is F80 for arg in inst.args)


class Evaluator:
    """Translates functions to Python; each helper they call is built and translated once."""

    source: type[Source]
    """What writes the Python."""

    def __init__(self) -> None:
        self._helpers: dict[Helper, HelperRunner] = {}

    def translate(self, function: Function) -> Runner:
        """A callable that runs `function` against a state and a memory."""
        source = self.source(function, self)
        source.add_function("state, memory", body_indent=2)
        run: Callable[[State, Memory], Left] = source.compile()
        return run

    def run(self, function: Function, state: State, memory: Memory) -> Left:
        """Translate and run `function` once."""
        return self.translate(function)(state, memory)

    def helper(self, helper: Helper) -> HelperRunner:
        """The translated helper."""
        found = self._helpers.get(helper)
        if found is None:
            function = build_helper(helper)
            source = self.source(function, self)
            listed = "".join(f", p{i}" for i in range(len(function.params)))
            source.add_function(f"fp{listed}", body_indent=1)
            found = self._helpers[helper] = source.compile()
        return found


def build_helper(helper: Helper) -> Function:
    """A helper's IR.  Its parameters are gets whose immediate is the parameter's number."""
    function = Function("helper", helper.name, params=helper.params, result=helper.result)
    b = Builder(function)
    params = tuple(Value(b, ops.GET, t, (), i) for i, t in enumerate(helper.params))
    result = helper.build(b, params)
    if not b.block.is_closed:
        b.emit(ops.RET, VOID, () if result is None else (result,))
    return function


class Source:
    """The Python source of one function, and the names that it uses."""

    def __init__(self, function: Function, evaluator: Evaluator) -> None:
        self.function = function
        self.evaluator = evaluator
        giving = (inst for inst in function.insts() if inst.op.result)
        self.names = {inst: f"v{i}" for i, inst in enumerate(giving)}
        self.globals: dict[str, Any] = dict(_GLOBALS)
        self.lines: list[str] = []
        self.indent = ""
        self.locals: dict[Slot, str] = {}
        self.current = 0
        self.block_numbers = {label: i for i, label in enumerate(function.blocks)}
        self.is_helper = function.kind == "helper"
        self.uses_f80 = any(_is_extended(inst) for inst in function.insts())
        self.uses_fp = not self.is_helper and any(
            inst.op in _TOUCH_ENVIRONMENT for inst in function.insts()
        )

    def compile(self) -> Any:
        """The function as a Python callable."""
        exec(compile("\n".join(self.lines), f"<ir {self.function.name}>", "exec"), self.globals)
        return self.globals["run"]

    # -- the frame around the blocks -------------------------------------------------------

    def line(self, text: str) -> None:
        self.lines.append(self.indent + text)

    def add_function(self, parameters: str, body_indent: int) -> None:
        """The whole function: entry, blocks, exits by fault."""
        self.line(f"def run({parameters}):")
        self.indent = "    "
        if not self.is_helper:
            self._enter()
        self.indent = "    " * body_indent
        self._add_blocks()
        if not self.is_helper:
            self._catch()

    def _enter(self) -> None:
        self.line("m8 = state.m8; m16 = state.m16; m32 = state.m32; m64 = state.m64")
        self.line("read = memory.read; write = memory.write")
        self.line("pc = raised80 = 0; raised = 0, 0")
        if self.uses_fp:
            self.line(f"fp = Environment(m32[{_MXCSR}])")
        if self.uses_f80:
            self.line(f"fx = Environment80(m32[{_X87_CONTROL}], m32[{_X87_STATUS}])")
        self.line("try:")

    def _catch(self) -> None:
        self.indent = "    "
        self.line("except Misaligned:")
        self.line("    return Left(EXCEPTION, pc, ALIGNMENT)")
        self.line("except GuestFault as fault:")
        if self.uses_fp:
            self.line("    fp.flags, fp.denormal = raised")
        if self.uses_f80:
            self.line("    fx.flags = raised80")
        self.line("    return Left(FAULT, pc, fault.address, fault.is_write, fault.is_bus)")
        if self.uses_fp or self.uses_f80:
            self.line("finally:")
        if self.uses_fp:
            self.line(f"    m32[{_MXCSR}] = fp.mxcsr(m32[{_MXCSR}])")
        if self.uses_f80:
            self.line(f"    m32[{_X87_STATUS}] = fx.flags")

    def _add_blocks(self) -> None:
        slots = {i.imm for i in self.function.insts() if i.op in (ops.GET, ops.PUT) and i.imm}
        for slot in sorted((s for s in slots if is_local(s)), key=lambda s: s.name):
            self.locals[slot] = f"t{len(self.locals)}"
            self.line(f"{self.locals[slot]} = 0")
        if len(self.function.blocks) == 1:
            self._add_insts(next(iter(self.function)))
            return
        self.line("at = 0")
        self.line("while True:")
        outer = self.indent
        for block in self.function:
            self.indent = outer + "    "
            self.current = self.block_numbers[block.label]
            self.line(f"if at == {self.current}:  # {block.label}")
            self.indent += "    "
            self._add_insts(block)

    def _add_insts(self, block: Block) -> None:
        for inst in block.insts:
            text = self.text(inst)
            if inst.op.result:
                text = f"{self.names[inst]} = {text}"
            self.line(text)

    # -- one operation ---------------------------------------------------------------------

    def text(self, inst: Value) -> str:
        """The operation as an expression, or as a statement when it gives nothing."""
        if inst.op.meaning is not None:
            return self._meaning(inst)
        method: Callable[[Value], str] = getattr(self, f"_{inst.op.name}")
        return method(inst)

    def value(self, value: Value) -> str:
        """A value that was computed before, or a constant."""
        if value.op is ops.CONST:
            return hex(value.imm)
        is_parameter = value.op is ops.GET and isinstance(value.imm, int)
        return f"p{value.imm}" if is_parameter else self.names[value]

    def values(self, inst: Value) -> list[str]:
        return [self.value(a) for a in inst.args]

    def give(self, name: str, thing: Any) -> str:
        """Make `thing` known to the source by that name."""
        self.globals[name] = thing
        return name

    def type_name(self, type_: Type) -> str:
        return self.give(type_.name.upper(), type_)

    def _meaning(self, inst: Value) -> str:
        operand = self.type_name(inst.args[0].type)
        assert inst.op.meaning is not None
        meaning = self.give(f"{inst.op.name}_", inst.op.meaning)
        if inst.args[0].type.lane is not None and inst.op.lanes:
            meaning = self.give(f"{inst.op.name}_lanes", ops.lanewise(inst.op.meaning))
        given = ", ".join(self.values(inst))
        fp = ", fp" if inst.op in ops.FLOAT_OPS else ""
        if fp and _is_extended(inst):
            fp = ", fx"
        call = f"{meaning}({operand}, {self.type_name(inst.type)}, {given}{fp})"
        return f"{call} & {inst.type.mask:#x}"

    def _field(self, inst: Value) -> str:
        raise ValueError(f"{inst.op} has no value before the fields have")

    _getf = _putf = _field

    def _select(self, inst: Value) -> str:
        condition, yes, no = self.values(inst)
        chosen = inst.args[0].type
        if chosen.lane is not None:
            given = f"{self.type_name(chosen)}, {self.type_name(inst.type)}"
            return f"select_lanes({given}, {condition}, {yes}, {no})"
        return f"{yes} if {condition} else {no}"

    def _splat(self, inst: Value) -> str:
        type_ = inst.type
        ones = type_.join([1] * type_.lanes)
        return f"{self.value(inst.args[0])} * {ones:#x}"

    def _extract(self, inst: Value) -> str:
        shift = inst.imm * inst.type.bits
        return f"{self.value(inst.args[0])} >> {shift} & {inst.type.mask:#x}"

    def _insert(self, inst: Value) -> str:
        whole, lane = self.values(inst)
        type_ = inst.args[1].type
        shift = inst.imm * type_.bits
        kept = inst.type.mask & ~(type_.mask << shift)
        return f"{whole} & {kept:#x} | {lane} << {shift}"

    def _shuffle(self, inst: Value) -> str:
        first, second = self.values(inst)
        given = f"{self.type_name(inst.args[0].type)}, {self.type_name(inst.type)}"
        return f"shuffle_lanes({given}, {first}, {second}, {inst.imm!r})"

    def _simd(self, inst: Value) -> str:
        row, imm = inst.imm
        fp = ["fp"] if row.raises else []
        name = self.give(f"simd_{row.name}", row.meaning)
        return f"{name}({', '.join([str(imm), *self.values(inst), *fp])})"

    _simdf = _simd

    def _place(self, type_: Type, offset: int) -> str:
        view, shift = _VIEWS[type_.bytes]
        return f"{view}[{offset >> shift}]"

    def _get(self, inst: Value) -> str:
        slot: Slot = inst.imm
        if is_local(slot):
            return self.locals[slot]
        if slot.type.bytes not in _VIEWS:
            end = slot.offset + slot.type.bytes
            return f"int.from_bytes(m8[{slot.offset}:{end}], 'little')"
        return self._place(slot.type, slot.offset)

    def _put(self, inst: Value) -> str:
        slot: Slot = inst.imm
        value = self.value(inst.args[0])
        if is_local(slot):
            return f"{self.locals[slot]} = {value}"
        size = slot.type.bytes
        if size not in _VIEWS:
            return f"m8[{slot.offset}:{slot.offset + size}] = ({value}).to_bytes({size}, 'little')"
        return f"{self._place(slot.type, slot.offset)} = {value}"

    def _getx(self, inst: Value) -> str:
        return f"state.get({self._file(inst.imm)}[{self.value(inst.args[0])}])"

    def _putx(self, inst: Value) -> str:
        index, value = self.values(inst)
        return f"state.set({self._file(inst.imm)}[{index}], {value})"

    def _file(self, file: File) -> str:
        return self.give(f"{file.name}_slots", file.slots)

    def _address(self, address: Value) -> str:
        """A guest address, of which a 64-bit one is cut to what guests may use."""
        text = self.value(address)
        return f"(({text}) & {GUEST_ADDRESS_MASK})" if address.type is I64 else text

    def _touched(self, inst: Value) -> str:
        """The address of a load or store, looked at if it has to be aligned."""
        access: Access = inst.imm
        text = self._address(inst.args[0])
        return f"aligned({text}, {access.type.bytes})" if access.is_checked else text

    def _given(self, inst: Value, addresses: int = 1) -> str:
        """The operands of an operation whose first ones are addresses."""
        values = map(self.value, inst.args[addresses:])
        return ", ".join((*map(self._address, inst.args[:addresses]), *values))

    def _load(self, inst: Value) -> str:
        access: Access = inst.imm
        read = f"read({self._touched(inst)}, {access.type.bytes})"
        return f"int.from_bytes({read}, '{_ORDERS[access.order]}')" + " & 1" * (access.type is I1)

    def _store(self, inst: Value) -> str:
        access: Access = inst.imm
        value = self.value(inst.args[1])
        data = f"({value}).to_bytes({access.type.bytes}, '{_ORDERS[access.order]}')"
        return f"write({self._touched(inst)}, {data})"

    def _cas(self, inst: Value) -> str:
        access: Access = inst.imm
        given = self._given(inst)
        return f"cas(memory, {access.type.bytes}, '{_ORDERS[access.order]}', {given})"

    def _rmw(self, inst: Value) -> str:
        access: Access = inst.imm
        change = self.give(f"rmw_{access.rmw}", _RMW[access.rmw])
        given = self._given(inst)
        return f"rmw(memory, {access.type.bytes}, '{_ORDERS[access.order]}', {change}, {given})"

    def _fence(self, _: Value) -> str:
        return "pass"

    def _bulk(self, inst: Value) -> str:
        bulk = self.give(f"bulk_{inst.imm}".replace(".", "_"), inst.imm)
        return f"run_bulk(memory, {bulk}, {self._given(inst, inst.imm.addresses)})"

    def _fpget(self, _: Value) -> str:
        return "fp.mxcsr(0)"

    def _fpput(self, inst: Value) -> str:
        return f"fp.set({self.value(inst.args[0])})"

    def _to_integer(self, inst: Value) -> str:
        meaning = floats.to_signed_rounding if inst.op is ops.FTOINT else floats.to_signed_cutting
        name, t = self.give(meaning.__name__, meaning), self.type_name(inst.type)
        source = self.type_name(inst.args[0].type)
        return f"{name}({source}, {t}, {self.value(inst.args[0])}, fx) & {inst.type.mask:#x}"

    _ftoint = _ftocut = _to_integer

    def _fmath(self, inst: Value) -> str:
        """Gives two results: the second one is for `fmathcc`."""
        name = self.give(f"fmath_{inst.imm.name}", inst.imm.meaning)
        pair = f"both := {name}({', '.join([*self.values(inst), 'fx'])})"
        return f"({pair})[0]; {self.names[inst]}_cc = both[1]"

    def _fmathcc(self, inst: Value) -> str:
        return f"{self.names[inst.args[0]]}_cc"

    def _f80flags(self, _: Value) -> str:
        return "fx.flags"

    def _f80set(self, inst: Value) -> str:
        return f"fx.flags = {self.value(inst.args[0])} & 63"

    def _f80control(self, inst: Value) -> str:
        word = f"m32[{_X87_CONTROL}] = {self.value(inst.args[0])} & 0xffff | 0x7f"
        return f"{word}; fx.set_control(m32[{_X87_CONTROL}])"

    def _fpflags(self, _: Value) -> str:
        return "fp.flags"

    def _fpset(self, inst: Value) -> str:
        return f"fp.flags = {self.value(inst.args[0])} & {floats.ALL_FLAGS}"

    def _fpround(self, inst: Value) -> str:
        return f"fp.rounding = {self.value(inst.args[0])} & 3"

    def _clock(self, _: Value) -> str:
        return "monotonic_ns()"

    def _call(self, inst: Value) -> str:
        helper: Helper = inst.imm
        name = self.give(f"help_{helper.name}", self.evaluator.helper(helper))
        return f"{name}({', '.join(['fp', *self.values(inst)])})"

    # -- ways on and out -------------------------------------------------------------------

    def _insn(self, inst: Value) -> str:
        text = f"pc = {inst.imm[0]:#x}"
        if self.uses_fp:
            text += "; raised = fp.flags, fp.denormal"
        if self.uses_f80:
            text += "; raised80 = fx.flags"
        return text

    def _poll(self, inst: Value) -> str:
        return f"if m32[{_EVENT}]: return Left(EVENT, {inst.imm[0]:#x})"

    def _br(self, inst: Value) -> str:
        return f"at = {self.block_numbers[inst.imm]}" + self._again(inst.imm)

    def _cbr(self, inst: Value) -> str:
        yes, no = (self.block_numbers[label] for label in inst.imm[:2])
        return f"at = {yes} if {self.value(inst.args[0])} else {no}" + self._again(*inst.imm[:2])

    def _again(self, *labels: str) -> str:
        """Blocks further down are reached by falling through the tests of those between."""
        backwards = any(self.block_numbers[label] <= self.current for label in labels)
        return "; continue" if backwards else ""

    def _goto(self, inst: Value) -> str:
        return f"return Left(LOOKUP, {inst.imm[0]:#x})"

    def _jump(self, inst: Value) -> str:
        return f"return Left(LOOKUP, {self.value(inst.args[0])})"

    def _raise(self, inst: Value) -> str:
        return f"return Left(EXCEPTION, {inst.imm[1]:#x}, {int(inst.imm[0])})"

    def _ask(self, inst: Value) -> str:
        return f"return Left(ASK, {inst.imm[1]:#x}, {inst.imm[0]})"

    def _next(self, _: Value) -> str:
        return "return Left(NONE)"

    def _ret(self, inst: Value) -> str:
        return f"return {self.value(inst.args[0])}" if inst.args else "return 0"


Evaluator.source = Source

_MXCSR = HEADER["mxcsr"].offset >> 2
_X87_CONTROL = HEADER["x87_control"].offset >> 2
_X87_STATUS = HEADER["x87_status"].offset >> 2
_EVENT = HEADER["event"].offset >> 2
_ATOMICS = Lock()


def _cas(memory: Memory, size: int, order: Any, address: int, expected: int, new: int) -> int:
    """Compare and swap; atomic among evaluators, whose threads share one lock for it."""
    with _ATOMICS:
        old = int.from_bytes(memory.read(address, size), order)
        memory.write(address, (new if old == expected else old).to_bytes(size, order))
    return old


def _rmw(
    memory: Memory,
    size: int,
    order: Any,
    change: Callable[[int, int], int],
    address: int,
    operand: int,
) -> int:
    with _ATOMICS:
        old = int.from_bytes(memory.read(address, size), order)
        new = change(old, operand) & ((1 << 8 * size) - 1)
        memory.write(address, new.to_bytes(size, order))
    return old


def _aligned(address: int, size: int) -> int:
    """The address, if it is a multiple of the size; raises Misaligned."""
    if address & size - 1:
        raise Misaligned
    return address


def _select_lanes(chosen: Type, type_: Type, condition: int, yes: int, no: int) -> int:
    lanes = zip(chosen.split(condition), type_.split(yes), type_.split(no), strict=True)
    return type_.join(x if chooses else y for chooses, x, y in lanes)


def _shuffle_lanes(
    source: Type, result: Type, first: int, second: int, numbers: tuple[int, ...]
) -> int:
    table = source.split(first) + source.split(second)
    return result.join(table[number] for number in numbers)


_GLOBALS: dict[str, Any] = {
    "select_lanes": _select_lanes,
    "shuffle_lanes": _shuffle_lanes,
    **{reason.name: reason for reason in Reason},
    "Left": Left,
    "GuestFault": GuestFault,
    "Misaligned": Misaligned,
    "ALIGNMENT": GuestException.ALIGNMENT,
    "aligned": _aligned,
    "Environment": floats.Environment,
    "Environment80": floats.Environment80,
    "monotonic_ns": monotonic_ns,
    "cas": _cas,
    "rmw": _rmw,
    "run_bulk": run_bulk,
}
