"""A trial: one instruction with what it takes to run it from thousands of random states.

    code at `pc`, exits behind it and where it may branch to    (Place.code, SLOT bytes each)
    a window of memory that its addresses lead to               (Place.data)

Which registers point where follows from the decoded fields; what else an instruction wants of its
state is in the tables here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random

from frontends.x86.fields import FIELDS
from tcg.decode.intel import Row
from tests.frontends.x86 import case
from tests.frontends.x86.batch import Filler
from tests.frontends.x86.encode import has_memory
from tests.frontends.x86.host import FS_BASE_16, FS_BASE_32, GS_BASE_16, GS_BASE_32, PLACES, Place

SLOT = 128
BEHIND = 16
"""Where the instruction starts in its slot."""
FAR = SLOT - 16
"""Where the target of an indirect branch lies in its slot."""
WINDOW, LARGE_WINDOW = 256, 1024
AX, CX, DX, BX, SP, BP, SI, DI = range(8)
FS, GS = 5, 6

STOP = b"\xcd\x80"
"""int 0x80: the exit of our engines."""

# fmt: off
STACK = frozenset((
    "push", "pop", "pusha", "popa", "pushf", "popf", "call", "ret", "enter", "leave",
    "callf", "retf", "iret",
))
LARGE = frozenset((
    "fxsave", "fxrstor", "fnsave", "frstor", "xsave", "xrstor", "enter", "fxsave64", "fxrstor64",
))
STRINGS = frozenset(("movs", "cmps", "stos", "lods", "scas", "ins", "outs"))
NO_VECTORS = frozenset(("base", "integer"))
"""Families that touch neither vectors nor floating point."""

_LEFT_OUT = {
    "leaves for the system": "syscall sysenter int sysret sysexit swapgs xsetbv",
    "loads selectors": "callf jmpf retf iret les lds lss lfs lgs",
    "is about the host": "cpuid rdtsc rdtscp rdpid xgetbv rdrand rdseed rdpmc",
    "is about the system":
        "lar lsl verr verw sldt str sgdt sidt smsw lmsw invlpg lidt lgdt ltr lldt",
    "is for the system": "in out ins outs cli sti hlt monitor mwait clac stac rsm",
    "shows the last instruction's address": "xsave xrstor xsaveopt xsavec fxsave fxsave64",
    "is a fault in some virtual machines": "int1",
    "does not decode alike everywhere": "ud0",
    "may be illegal": "prefetchw",
}
LEFT_OUT: Mapping[str, str] = {
    name: reason for reason, names in _LEFT_OUT.items() for name in names.split()
}
"""Functions of rows that random code does not contain, and why."""

CF, PF, AF, ZF, SF, OF = (1 << bit for bit in (0, 2, 4, 6, 7, 11))
UNDEFINED: Mapping[str, int] = {
    "daa": OF, "das": OF,
    "aaa": OF | SF | ZF | PF, "aas": OF | SF | ZF | PF,
    "aad": OF | AF | CF,
}
"""Flags that are undefined after a function's rows (SDM vol. 2): the host does as it likes."""
# fmt: on


@dataclass(frozen=True, slots=True)
class Trial:
    """One instruction, ready to be run.

    `exits`: where it may go on; `mask`: which bits of a case are compared; `checked`: the engine
    looks for SSE's exceptions.
    """

    mode: int
    index: int
    row: Row
    code: bytes
    pc: int
    fields: dict[str, int]
    exits: tuple[int, ...]
    window_at: int
    window: int
    vectors: bool
    model: bytes
    mask: bytes
    fillers: tuple[Filler, ...] = field(repr=False)
    checked: bool = False

    @property
    def place(self) -> Place:
        """Where it all lies."""
        return PLACES[self.mode]

    def image(self, stop: list[bytes] | bytes) -> bytes:
        """The slot's code, with what stands at the exits: the same, or one for each."""
        image = bytearray(b"\xcc" * SLOT)
        for number, at in reversed(list(enumerate(self.exits))):
            text = stop if isinstance(stop, bytes) else stop[number]
            if 0 <= at - self.slot <= FAR:
                image[at - self.slot : at - self.slot + len(text)] = text
        start = self.pc - self.slot
        image[start : start + len(self.code)] = self.code
        return bytes(image[:SLOT])

    @property
    def slot(self) -> int:
        """The address of its slot."""
        return self.pc - BEHIND


def family_of(row: Row) -> str:
    """The file a row is in, without its ending."""
    return row.place.partition(".")[0]


def branch_far(row: Row, code: bytes, fields: dict[str, int], pc: int) -> bytes:
    """A relative branch, led to the exit at FAR."""
    operand = next((o for o in row.operands if o.letter == "J"), None)
    if operand is None:
        return code
    size = 1 if operand.size == "b" else 2 if fields["opsize"] == 2 else 4
    offset = pc - BEHIND + FAR - (pc + len(code))
    return code[:-size] + offset.to_bytes(size, "little", signed=True)


def leads_away(mode: int, row: Row, fields: dict[str, int]) -> bool:
    """It touches memory that only the host has, or may.

    A bit offset that is its own address leads out of 16-bit code's window, and so does a large
    frame; `call rsp` writes code.
    """
    if row.function == "call" and row.operands[0].letter == "E":
        return fields["rm"] == SP
    if mode == 16 and row.function == "enter":
        return fields["imm"] > 0x400
    is_bits = row.function in ("bt", "bts", "btr", "btc") and row.operands[1].letter == "G"
    in_address = fields["reg"] in (fields["base"], fields["index"])
    return mode == 16 and is_bits and fields["rm"] < 0 and in_address


def make_trial(
    mode: int, index: int, row: Row, code: bytes, decoded: tuple[int, ...], pc: int,
    random: Random, checked: bool = False,
) -> Trial:  # fmt: skip
    """Everything about an instruction that was decoded at `pc`."""
    place = PLACES[mode]
    fields = dict(zip(FIELDS, decoded, strict=True))
    vectors = family_of(row) not in NO_VECTORS
    window = LARGE_WINDOW if row.function in LARGE else WINDOW
    window_at, middle = place.data + 0x800, 96 if window == WINDOW else 320
    if mode != 16 and fields["addrsize"] != 2 and random.randrange(8) == 0:
        window_at, middle = place.data + place.data_size - window, window - 40
    exits = [pc + len(code), pc - BEHIND + FAR]
    if any(o.letter == "J" for o in row.operands):
        exits[1] = fields["imm"]
    model = case.new_case(window)
    bases = _bases(mode, random)
    if mode == 64:
        case.BY_NAME["fs_base"].put(model, bases[FS])
        case.BY_NAME["gs_base"].put(model, bases[GS])
    fillers = _fillers(mode, row, fields, vectors, window, random)
    aim = Aim(mode, window_at, window_at + middle, window, bases, exits[1])
    fillers += _pointers(row, fields, aim, random)
    return Trial(
        mode, index, row, code, pc, fields, tuple(exits), window_at, window, vectors, bytes(model),
        compared(mode, vectors, window, UNDEFINED.get(row.function, 0)), tuple(fillers),
        checked,
    )  # fmt: skip


def _bases(mode: int, random: Random) -> dict[int, int]:
    if mode == 64:
        return {FS: random.randrange(0, 0x1000), GS: random.randrange(0, 0x1000)}
    return {FS: FS_BASE_32, GS: GS_BASE_32} if mode == 32 else {FS: FS_BASE_16, GS: GS_BASE_16}


def gpr(number: int) -> int:
    """Where a general register lies in a case."""
    return case.GPR + 8 * number


def _fillers(
    mode: int, row: Row, fields: dict[str, int], vectors: bool, window: int, random: Random
) -> list[Filler]:
    """The parts that are just any values."""
    is_string = row.function in STRINGS
    found = [
        Filler(gpr(0), "integer", 16, share=48),
        Filler(case.RFLAGS, "string_flags" if is_string else "flags"),
    ]
    kind = "vector"
    if vectors:
        name = row.name
        if any(o.letter == "ST" or o.size == "t" for o in row.operands) or row.encoding[0] in "dD":
            kind = "extended"
        elif name.endswith(("ss", "ps")):
            kind = "singles"
        elif name.endswith(("sd", "pd")):
            kind = "doubles"
        elif name.startswith(("p", "vp")):
            kind = "words"
        found += [
            Filler(case.XMM, "vector" if kind == "extended" else kind, 16, 16, share=16),
            Filler(case.YMMH, "vector" if kind == "extended" else kind, 16, 16, share=16),
            Filler(case.FCW, "x87"),
            Filler(case.MXCSR, "mxcsr"),
            Filler(case.ST, "extended" if kind == "extended" else "mmx", 8, 16),
        ]
    pools = {"extended": ("extended", 2), "vector": ("vector", 2)}
    pool, words = pools.get(kind, (kind, 2))
    if not vectors:
        pool, words = "integer", 1
    elif kind == "extended":
        pool, words = random.choice(
            (("extended", 2), ("doubles", 2), ("singles", 2), ("integer", 1), ("words", 2))
        )
    found.append(Filler(case.WINDOW, pool, window // (8 * words), 8 * words, share=16))
    return found


@dataclass(frozen=True, slots=True)
class Aim:
    """What addresses are to lead to: `middle` of the window, code at `target`."""

    mode: int
    window_at: int
    middle: int
    window: int
    bases: Mapping[int, int]
    target: int


def _pointers(row: Row, fields: dict[str, int], aim: Aim, random: Random) -> list[Filler]:
    """Registers that address memory, counts and targets."""
    found: list[Filler] = []
    name = row.function
    if name in STACK:
        found.append(Filler(gpr(SP), "spread", add=aim.middle))
        found.append(Filler(gpr(BP), "spread", add=aim.middle))
    if name in ("div", "idiv"):
        found.append(Filler(gpr(DX), random.choice(("small", "integer", "count"))))
        found.append(Filler(gpr(AX), random.choice(("small", "integer", "spread"))))
    return [*found, *_operand_pointers(row, fields, aim), *_stack_contents(row, fields, aim)]


def _operand_pointers(row: Row, fields: dict[str, int], aim: Aim) -> list[Filler]:
    name = row.function
    middle = aim.middle - aim.bases.get(fields["segment"], 0)
    if name in STRINGS:
        found = [
            Filler(gpr(SI), "spread", add=middle), Filler(gpr(DI), "spread", add=aim.middle),
        ]  # fmt: skip
        return [*found, Filler(gpr(CX), "count")] if fields["rep"] else found
    if name == "xlatb":
        start = aim.window_at - aim.bases.get(fields["segment"], 0)
        return [Filler(gpr(AX), "integer", share=128), Filler(gpr(BX), "fixed", add=start)]
    if name in ("maskmovq", "maskmovdqu", "vmaskmovdqu"):
        return [Filler(gpr(DI), "spread", add=middle)]
    if "gather" in name:
        vector = 16 * fields["index"]
        bare = {**fields, "index": 16 if aim.mode == 64 else 8}
        indexes = [Filler(case.XMM + vector, "indexes"), Filler(case.YMMH + vector, "indexes")]
        return indexes + _address(aim.mode, bare, middle, "spread")
    if not has_memory(row, fields):
        return []
    is_vector = any(o.letter in ("V", "W") for o in row.operands)
    spread = "mostly_aligned" if is_vector else "spread"
    if name in ("jmp", "call"):
        spread = "aligned"
    registers = _address(aim.mode, fields, middle, spread)
    if name in ("bt", "bts", "btr", "btc") and row.operands[1].letter == "G":
        return [Filler(gpr(fields["reg"]), "bits"), *registers]
    return registers


def _stack_contents(row: Row, fields: dict[str, int], aim: Aim) -> list[Filler]:
    """Flags that may be popped, and places that code may go to."""
    name, words = row.function, aim.window // 8
    if name == "popf":
        top = Filler(gpr(SP), "aligned", add=aim.middle)
        return [Filler(case.WINDOW, "flags", words, 8), top]
    targets = Filler(case.WINDOW, "fixed", words, 8, add=aim.target)
    if name == "ret":
        return [targets, Filler(gpr(SP), "aligned", add=aim.middle)]
    if name in ("jmp", "call") and row.operands[0].letter == "E":
        in_register = fields["rm"] >= 0
        return [Filler(gpr(fields["rm"]), "fixed", add=aim.target) if in_register else targets]
    return []


def _address(mode: int, fields: dict[str, int], target: int, spread: str) -> list[Filler]:
    """The registers of a ModRM address, so that it comes to `target` and somewhat more."""
    none = 16 if mode == 64 else 8
    base, index, scale, disp = (fields[name] for name in ("base", "index", "scale", "disp"))
    size = fields["addrsize"]
    width = 1 << 8 * size
    if base == none and index == none:
        return []
    if base == none or index in (none, base):
        times = (1 if base != none else 0) + (1 << scale if index != none else 0)
        register = base if base != none else index
        value = (target + 32 - disp) % width // times
        return [Filler(gpr(register), spread if times == 1 else "fixed", add=value)]
    return [
        Filler(gpr(index), "small"),
        Filler(gpr(base), spread, add=target - disp, index=gpr(index), scale=scale),
    ]


C1 = 0x200
"""Of FSW: which way a result was rounded, which we do not follow."""
_FLAGS = 0x24_4FD7 & ~0x2
"""Status flags, TF, IF, DF, IOPL, NT, AC, ID; RF comes and goes with faults."""


def compared(mode: int, vectors: bool, window: int, undefined: int = 0) -> bytes:
    """The bits of a case that are compared."""
    mask = bytearray(case.WINDOW + window)
    for number in range(16 if mode == 64 else 8):
        size = 8 if mode == 64 else 4
        if mode == 16 and number == SP:
            size = 2
        mask[gpr(number) : gpr(number) + size] = b"\xff" * size
    case.BY_NAME["flags"].put(mask, _FLAGS & ~undefined)
    names = ["pc", "ended", "exit", "address"]
    if mode == 64:
        names += ["fs_base", "gs_base"]
    if vectors:
        count = 16 if mode == 64 else 8
        names += ["fcw", "fsw", "ftw", "mxcsr", *(f"st{i}" for i in range(8))]
        names += [f"{kind}{i}" for kind in ("xmm", "ymmh") for i in range(count)]
    for name in names:
        part = case.BY_NAME[name]
        mask[part.offset : part.offset + part.size] = b"\xff" * part.size
    if vectors:
        case.BY_NAME["fsw"].put(mask, 0xFFFF & ~C1)
    mask[case.WINDOW :] = b"\xff" * window
    return bytes(mask)
