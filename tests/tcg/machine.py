"""A small guest for tests of the IR: its state, its memory, and random functions for it."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from tcg import ops
from tcg.build import Builder
from tcg.evaluate import Evaluator, Left, State
from tcg.faults import GuestFault
from tcg.floats import FORMATS, is_nan
from tcg.ir import Access, Function, Helper, Value
from tcg.state import Rotating, Slot, new_layout
from tcg.types import F32, F64, F80, I1, I8, I16, I32, I64, I128, V128, VOID, Type

LAYOUT = new_layout()
GPR = LAYOUT.file("gpr", I32, (f"r{i}" for i in range(8)))
FPR = LAYOUT.file("fpr", F64, (f"f{i}" for i in range(4)))
FLAGS = LAYOUT.file("flags", I1, ("cr0.lt", "cr0.gt", "cr0.eq"))
OTHERS = tuple(
    LAYOUT.slot(name, type_)
    for name, type_ in (
        *(("b", I8), ("h", I16), ("d", I64), ("q", I128), ("s", F32)),
        *((f"v{i}", V128) for i in range(6)),
    )
)
ROTATING = Rotating(
    LAYOUT.file("x", F80, (f"x{i}" for i in range(8))),
    LAYOUT.slot("top", I32), LAYOUT.slot("full", I8), LAYOUT.slot("zero", I8),
)  # fmt: skip
"""A register stack; random functions do not know it."""
SLOTS = (*GPR.slots, *FPR.slots, *FLAGS.slots, *OTHERS)
SIZE = -(-LAYOUT.size // 64) * 64
MEMORY_SIZE = 256


def _average(b: Builder, args: tuple[Value, ...]) -> Value:
    x, y = args
    result = b.local(I32)
    b.put(result, x)
    with b.when(x.ult(y)):
        b.put(result, (x & y) + ((x ^ y) >> 1))
    return b.get(result)


AVERAGE = Helper("average", (I32, I32), I32, _average)
HALVE = Helper("halve", (F64,), F64, lambda b, args: args[0].fmul(0x3FE0_0000_0000_0000))
HELPERS = (AVERAGE, HALVE)


class Bytes:
    """Guest memory: 256 bytes at address 0, and nothing else."""

    def __init__(self, content: bytes = bytes(MEMORY_SIZE)) -> None:
        self.data = bytearray(content)

    def read(self, address: int, size: int) -> bytes:
        if address + size > len(self.data):
            raise GuestFault(address)
        return bytes(self.data[address : address + size])

    def write(self, address: int, data: bytes) -> None:
        if address + len(data) > len(self.data):
            raise GuestFault(address, is_write=True)
        self.data[address : address + len(data)] = data


def new_state(values: dict[str, int] | None = None) -> State:
    """A state with these slots set and the default FP environment."""
    state = State(bytearray(SIZE))
    state.set(LAYOUT.slots["mxcsr"], 0x1F80)
    for name, value in (values or {}).items():
        state.set(LAYOUT.slots[name], value)
    return state


def random_state(random: Random, one_nan: bool = False) -> State:
    """A state with interesting values in all slots."""
    state = new_state()
    for slot in SLOTS:
        state.set(slot, random_number(random, slot.type, one_nan))
    return state


def random_number(random: Random, type_: Type, one_nan: bool = False) -> int:
    """A number that is likely to be at an edge of its type; `one_nan`: no NaN but the default."""
    if type_.is_float:
        made = _random_float(random, type_)
        format_ = FORMATS[type_]
        return format_.default_nan if one_nan and is_nan(format_, made) else made
    edges = (0, 1, 2, 31, 32, type_.mask, type_.mask >> 1, (type_.mask >> 1) + 1, 255, 0x8000)
    if random.random() < 0.7:
        return type_.wrap(random.choice(edges))
    return random.getrandbits(type_.bits)


def _random_float(random: Random, type_: Type) -> int:
    one = {F32: 0x3F80_0000, F64: 0x3FF0_0000_0000_0000}[type_]
    infinity = {F32: 0x7F80_0000, F64: 0x7FF0_0000_0000_0000}[type_]
    sign = type_.mask ^ type_.mask >> 1
    edges = (0, sign, one, one | sign, infinity, infinity | sign, infinity + 1, type_.mask, 1)
    return random.choice(edges) if random.random() < 0.5 else random.getrandbits(type_.bits)


INTEGERS = (I1, I8, I16, I32, I64, I128)
MIXED = (ops.UDIV2, ops.CRC32)
"""Operations of certain types only, which random functions do not have."""

PURE = tuple(
    op
    for op in ops.OPS.values()
    if (op.meaning is not None or op is ops.SELECT) and op not in MIXED
)


def _pairs(op: ops.Op) -> list[tuple[Type, Type]]:
    floats = (F32, F64)
    match op.name:
        case "zext" | "sext":
            return [(a, b) for a in INTEGERS for b in INTEGERS if a.bits < b.bits]
        case "trunc":
            return [(a, b) for a in INTEGERS for b in INTEGERS if a.bits > b.bits]
        case "bitcast":
            return [(F32, I32), (I32, F32), (F64, I64), (I64, F64)]
        case "fext":
            return [(F32, F64)]
        case "ftrunc":
            return [(F64, F32)]
        case "ftosi" | "ftoui":
            return [(f, i) for f in floats for i in (I32, I64)]
    return [(i, f) for f in floats for i in (I32, I64)]


CONVERSIONS = {op: _pairs(op) for op in PURE if "B" in op.operands}


class RandomFunction:
    """Makes a function that ends: branches go forward, loops count down a local.

    `polls`: every loop has one.  `far`: added to some addresses, that of memory that is not there.
    `pure`, `integers`: the ops and the integer types used.  `one_nan`: see random_number.
    """

    def __init__(
        self,
        random: Random,
        size: int = 24,
        polls: bool = False,
        far: int = 0,
        pure: Sequence[ops.Op] = PURE,
        integers: Sequence[Type] = INTEGERS,
        one_nan: bool = False,
    ) -> None:
        self.one_nan = one_nan
        self.random = random
        self.far = far
        self.pure = pure
        self.integers = integers
        self.function = Function("region", "R_1000")
        self.b = Builder(self.function)
        self.left = size
        self.polls = polls
        self.pc = 0x1000
        self.locals: list[Slot] = []
        self.values: list[Value] = []
        self.slots = (*GPR.slots[:2], *random.sample(SLOTS, 5))
        if polls:
            self.slots += FLAGS.slots
        for _ in range(2):
            self.new_local()
        self.statements(depth=0)
        self.leave()

    def new_local(self) -> None:
        """A local, with a value from the start, because nobody says what it is before."""
        local = self.b.local(self.random.choice((*self.integers, F64)))
        self.b.put(local, self.value(local.type))
        self.locals.append(local)

    def statements(self, depth: int) -> None:
        """Some statements."""
        for _ in range(self.random.randint(2, 8) + (6 if depth == 0 else 0)):
            self.left -= 1
            kinds = [self.compute] * 6 + [self.put] * 5 + [self.touch_memory, self.mark, self.odd]
            kinds += [self.put_twice] * 3
            if depth < 3 and self.left > 0:
                kinds += [lambda: self.branch(depth)] * 2 + [lambda: self.loop(depth)]
            self.random.choice(kinds)()

    # -- values ----------------------------------------------------------------------------

    def value(self, type_: Type) -> Value:
        """A constant, a value computed before, or a slot."""
        known = [v for v in self.values if v.type is type_]
        if known and self.random.random() < 0.6:
            return self.random.choice(known)
        if self.random.random() < 0.4:
            return self.b.const(type_, random_number(self.random, type_, self.one_nan))
        slots = [s for s in (*self.slots, *self.locals) if s.type is type_]
        if not slots:
            return self.b.const(type_, random_number(self.random, type_, self.one_nan))
        made = self.b.get(self.random.choice(slots))
        self.values.append(made)
        return made

    def compute(self) -> None:
        """One pure operation."""
        op = self.random.choice(self.pure)
        self.values.append(self.make(op))

    def make(self, op: ops.Op) -> Value:
        """The operation on operands of types that fit it."""
        random, b = self.random, self.b
        if op is ops.SELECT:
            type_ = random.choice((*self.integers, F64))
            return b.select(self.value(I1), self.value(type_), self.value(type_))
        if "B" in op.operands:
            allowed = {*self.integers, F32, F64}
            source, result = random.choice([p for p in CONVERSIONS[op] if allowed.issuperset(p)])
            return b.unary(op, self.value(source), result)
        type_ = random.choice((F32, F64) if op in ops.FLOAT_OPS else self.integers)
        if op is ops.BSWAP:
            type_ = random.choice((I16, I32, I64))
        args = tuple(self.value(type_) for _ in op.operands)
        if op is ops.FMA:
            return b.fma(*args)
        if len(args) == 1:
            return b.unary(op, args[0])
        return b.binary(op, args[0], args[1], I1 if op.result == "i1" else None)

    # -- statements ------------------------------------------------------------------------

    def put(self) -> None:
        """Write a slot, perhaps by a register number known only when it runs."""
        if self.random.random() < 0.15:
            index = self.value(I32) & 1
            self.b.put_file(GPR, index, self.value(I32))
            self.values.append(self.b.get_file(GPR, index))
            return
        slot = self.random.choice((*self.slots, *self.locals))
        self.b.put(slot, self.value(slot.type))

    def put_twice(self) -> None:
        """A write that is overwritten, and between the two perhaps something that sees it."""
        slot = self.random.choice((*GPR.slots[:2], *self.slots))
        self.b.put(slot, self.value(slot.type))
        self.random.choice((self.touch_memory, self.compute, self.odd, self.read_indexed))()
        self.b.put(slot, self.value(slot.type))

    def read_indexed(self) -> None:
        """Read a register that only a value names."""
        self.values.append(self.b.get_file(GPR, self.value(I32) & 1))

    def touch_memory(self) -> None:
        """Read or write guest memory, now and then where there is none."""
        access = Access(
            self.random.choice((I8, I16, I32, I64, F64)), self.random.choice(("be", "le"))
        )
        address = self.value(I32) & self.random.choice((0x7F, 0xFF, 0x1FF))
        if self.random.random() < 0.2:
            address = address | (self.far or 0x80)
        if self.random.random() < 0.5:
            self.values.append(self.b.load(access, address))
        else:
            self.b.store(access, address, self.value(access.type))

    def mark(self) -> None:
        """The next guest instruction starts."""
        self.pc += 4
        self.b.insn(self.pc, self.random.choice((None, "addi r3, r3, 1")))

    def odd(self) -> None:
        """A helper's call, a poll, a local's new value."""
        kind = self.random.randrange(4)
        if kind == 0:
            self.values.append(self.b.call(AVERAGE, self.value(I32), self.value(I32)))
        elif kind == 1:
            self.values.append(self.b.call(HALVE, self.value(F64)))
        elif kind == 2:
            self.b.poll(self.pc)
        else:
            local = self.random.choice(self.locals)
            self.b.put(local, self.value(local.type))

    def branch(self, depth: int) -> None:
        """Run something only on a condition; sometimes it leaves."""
        condition = self.value(I1)
        outside = len(self.values)
        with self.b.when(condition, self.random.choice((None, True, False))):
            self.statements(depth + 1)
            if self.random.random() < 0.3:
                self.leave()
        del self.values[outside:]

    def loop(self, depth: int) -> None:
        """Run something up to three times."""
        count = self.b.local(I32)
        self.b.put(count, self.random.randint(1, 3))
        outside = len(self.values)
        with self.b.loop() as loop:
            if self.polls:
                self.b.poll(self.pc)
            left = self.b.get(count)
            loop.leave_if(left.eq(0))
            self.b.put(count, left - 1)
            self.statements(depth + 1)
        del self.values[outside:]

    def leave(self) -> None:
        """One of the ways out."""
        kind = self.random.randrange(4)
        if kind == 0:
            self.b.jump(self.value(I32), hint=self.random.choice(("", "return")))
        elif kind == 1:
            self.b.raise_(3, self.pc)
        elif kind == 2:
            self.b.ask(0, self.pc + 4)
        else:
            self.b.goto(self.pc + 4, hint=self.random.choice(("", "call", "leave")))


def random_function(random: Random, size: int = 24, polls: bool = False) -> Function:
    """A random function for this guest that always ends; with `polls`, in every loop."""
    return RandomFunction(random, size, polls).function


Outcome = tuple[Left, dict[str, int], bytes]


def run(function: Function, seed: int, values: dict[str, int] | None = None) -> Outcome:
    """How a function leaves, all slots, and memory, from a state and memory made of the seed."""
    random = Random(seed)
    state = random_state(random)
    for name, value in (values or {}).items():
        state.set(LAYOUT.slots[name], value)
    memory = Bytes(random.randbytes(MEMORY_SIZE))
    left = Evaluator().run(function, state, memory)
    return left, {slot.name: state.get(slot) for slot in SLOTS}, bytes(memory.data)


def end(b: Builder) -> Function:
    """The function that `b` was building, ended by `next`."""
    b.emit(ops.NEXT, VOID)
    return b.function
