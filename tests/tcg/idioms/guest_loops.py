"""Loops as a guest may write them, by what they do, and a memory with holes to run them in.

r1 is where they read (or look), r2 where they write (or what else they look at), r3 the count or
the end, r4 the value written or looked for, r5 what was loaded last.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from tcg.faults import GuestFault
from tcg.ir import Function
from tcg.text import parse_function
from tests.tcg.machine import HELPERS, LAYOUT

PAGE = 4096
PAGES = 4
FIRST = 0x10000
"""The guest memory of these tests: four pages from here on, some of them missing."""


@dataclass(frozen=True)
class Shape:
    """A loop: `kind` as bulk operations are called; `ends`: count, below, unequal or never."""

    kind: str
    size: int = 1
    unroll: int = 1
    ends: str = "count"
    order: str = "be"
    down: bool = False
    rotated: bool = False
    """Regions may start in the middle of a guest's loop: then the poll is not at the end."""

    def __str__(self) -> str:
        way = "-down" if self.down else ""
        way += "-rotated" if self.rotated else ""
        return f"{self.kind}-{self.size}x{self.unroll}-{self.ends}-{self.order}{way}"

    @property
    def step(self) -> int:
        """What pointers grow by in an iteration."""
        return self.size * self.unroll * (-1 if self.down else 1)

    @property
    def reads(self) -> bool:
        return self.kind != "fill"

    @property
    def stops(self) -> bool:
        return self.kind in ("copy_until", "scan", "compare_until")


def function_of(shape: Shape) -> Function:
    """The loop as a region that goes to 0x2000 when it is left."""
    return parse_function(text_of(shape), LAYOUT, HELPERS)


def text_of(shape: Shape) -> str:
    """The loop's IR as text."""
    return "\n".join(_Writer(shape).lines())


class _Writer:
    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.text = ["region R", "entry:", "  br head", "head:"]
        self.count = 0
        self.exits = 0
        self.type = f"i{8 * shape.size}"

    def value(self, text: str) -> str:
        name = f"%{self.count}"
        self.count += 1
        self.text.append(f"  {name} = {text}")
        return name

    def lines(self) -> list[str]:
        shape = self.shape
        self.text.append("  ; 00001000")
        places = range(0, abs(shape.step), shape.size)
        for at in places:
            self.element(-at if shape.down else at)
            if shape.rotated and at == 0:
                self.text.append("  poll 0x1014, cr0.eq")
        self.move("r1", shape.step)
        self.move("r2", shape.step)
        self.end()
        if not shape.rotated:
            self.text.append("  poll 0x1000")
        self.text += ["  br head", "out:", "  goto 0x2000"]
        return self.text

    def element(self, at: int) -> None:
        """Read, write, test."""
        shape = self.shape
        self.text.append(f"  ; {0x1010 + abs(at):08x}")
        access = f"{self.type}.{shape.order}"
        loaded = ""
        if shape.reads:
            loaded = self.value(f"load.{access} {self.address('r1', at)}")
            self.keep(loaded)
        if shape.kind in ("copy", "copy_until"):
            self.text.append(f"  store.{access} {self.address('r2', at)}, {loaded}")
        if shape.kind == "fill":
            value = self.low("r4")
            self.text.append(f"  store.{access} {self.address('r2', at)}, {value}")
        if shape.kind in ("compare", "compare_until"):
            other = self.value(f"load.{access} {self.address('r2', at)}")
            self.leave(self.value(f"ne.{self.type} {loaded}, {other}"))
        if shape.stops:
            self.leave(self.value(f"eq.{self.type} {loaded}, {self.low('r4')}"))

    def address(self, register: str, at: int) -> str:
        return self.value(f"add.i32 {self.value(f'get.i32 {register}')}, {at}")

    def keep(self, loaded: str) -> None:
        if self.shape.size < 4:
            loaded = self.value(f"zext.i32 {loaded}")
        elif self.shape.size > 4:
            loaded = self.value(f"trunc.i32 {loaded}")
        self.text.append(f"  put r5, {loaded}")

    def low(self, register: str) -> str:
        value = self.value(f"get.i32 {register}")
        if self.shape.size == 4:
            return value
        return self.value(f"{'trunc' if self.shape.size < 4 else 'zext'}.{self.type} {value}")

    def leave(self, condition: str) -> None:
        self.exits += 1
        self.text.append(f"  put cr0.eq, {condition}")
        self.text.append(f"  cbr {condition}, out, on{self.exits}")
        self.text.append(f"on{self.exits}:")

    def move(self, register: str, by: int) -> None:
        moved = self.value(f"add.i32 {self.value(f'get.i32 {register}')}, {by}")
        self.text.append(f"  put {register}, {moved}")

    def end(self) -> None:
        ends = self.shape.ends
        pointer = "r1" if self.shape.reads else "r2"
        if ends == "count":
            self.move("r3", -1)
            self.leave(self.value(f"eq.i32 {self.value('get.i32 r3')}, 0"))
        elif ends == "unequal":
            x, y = self.value(f"get.i32 {pointer}"), self.value("get.i32 r3")
            self.leave(self.value(f"eq.i32 {x}, {y}"))
        elif ends == "below":
            x, y = self.value(f"get.i32 {pointer}"), self.value("get.i32 r3")
            if self.shape.down:
                x, y = y, x
            self.leave(self.value(f"ule.i32 {y}, {x}"))


def _shapes() -> list[Shape]:
    made = []
    for kind in ("copy", "fill", "copy_until", "scan", "compare", "compare_until"):
        for size, unroll in ((1, 1), (1, 2), (1, 4), (2, 1), (2, 2), (4, 1), (4, 4), (8, 1)):
            for number, ends in enumerate(("count", "below", "unequal", "never")):
                if ends == "never" and kind in ("copy", "fill"):
                    continue
                order = ("be", "le")[(number + size + unroll) % 2]
                made.append(Shape(kind, size, unroll, ends, order))
                if kind in ("copy", "fill") and unroll < 4:
                    made.append(Shape(kind, size, unroll, ends, order, down=True))
    made += [
        Shape(kind, 1, 2, "below" if kind == "copy" else "never", rotated=True)
        for kind in ("copy", "copy_until", "scan", "compare_until")
    ]
    made += [Shape("copy", 1, 3), Shape("fill", 4, 3), Shape("scan", 1, 3, "never")]
    return made


SHAPES = _shapes()


class Case:
    """Registers and memory to start a shape's loop with."""

    def __init__(self, shape: Shape, random: Random) -> None:
        size = PAGE * PAGES
        self.shape = shape
        self.missing = {p for p in range(PAGES) if random.random() < 0.2}
        self.content = bytearray(random.choice(b"abc") for _ in range(64)) * (size // 64)
        distance = random.choice(
            (0, 1, -1, 3, 8, -8, 40, -40, 100, -300, random.randint(-8000, 8000))
        )
        source = FIRST + random.randrange(size)
        if random.random() < 0.3:
            source = FIRST + random.randrange(1, PAGES) * PAGE - random.randrange(600)
        target = min(max(source + distance, FIRST), FIRST + size - 1)
        if shape.kind.startswith("compare") and random.random() < 0.8:
            target = min(source + 64 * random.randrange(40), FIRST + size - 1)
        count = random.choice((1, 2, 5, 40, 100, random.randint(1, 5000)))
        pointer = source if shape.reads else target
        end = pointer + count * shape.step
        if random.random() < 0.1:
            end += random.randrange(8)
        for _ in range(random.choice((0, 1, 3))):
            self.content[random.randrange(size)] = 0
        wanted = random.choice((0, 0, 0, ord("a"), random.getrandbits(32)))
        self.registers = {
            "r1": source, "r2": target, "r3": count if shape.ends == "count" else end % 2**32,
            "r4": wanted, "r5": 99,
        }  # fmt: skip

    def memory(self) -> Holes:
        """A fresh memory with the case's content."""
        return Holes(bytearray(self.content), self.missing)


class Holes:
    """Guest memory of a few pages, some of which are missing."""

    def __init__(self, data: bytearray, missing: set[int]) -> None:
        self.data = data
        self.missing = missing

    def _place(self, address: int, size: int, is_write: bool) -> int:
        for byte in range(address, address + size):
            page = (byte - FIRST) // PAGE
            if not 0 <= page < PAGES or page in self.missing:
                raise GuestFault(byte, is_write)
        return address - FIRST

    def read(self, address: int, size: int) -> bytes:
        at = self._place(address, size, is_write=False)
        return bytes(self.data[at : at + size])

    def write(self, address: int, data: bytes) -> None:
        at = self._place(address, len(data), is_write=True)
        self.data[at : at + len(data)] = data
