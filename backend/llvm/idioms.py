"""Bulk operations as LLVM functions: vectors of 32 bytes, then what is left.

Each function is internal to the module that uses it.  One that looks for something may give fewer
bytes than there are before a stop: it leaves what does not fill a vector to the guest's own loop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tcg.bulk import Bulk
from tcg.types import Type

VECTOR = 32
TAILS = (16, 8, 4, 2, 1)


def bulk_function(bulk: Bulk, values: int, length: Type) -> tuple[str, str]:
    """The name and the text of the function for `bulk` with so many operands after the length."""
    name = f"bulk_{bulk}_{values}_{length}".replace(".", "_")
    writer = _Writer(bulk, values, length)
    BODIES[bulk.kind](writer)
    return name, writer.text(name)


class _Writer:
    """The text of one function: %d and %s are its pointers, %n its length, %x0.. its elements."""

    def __init__(self, bulk: Bulk, values: int, length: Type) -> None:
        self.bulk = bulk
        self.element = f"i{8 * bulk.size}"
        self.stops = range(values)
        self.length = length
        self.lines: list[str] = []

    def text(self, name: str) -> str:
        """The whole function."""
        names = {"fill": "d", "scan": "s", "span": "s"}.get(self.bulk.kind, "ds")
        pointers = (f"ptr %{name}" for name in names)
        elements = (f"{self.element} %x{i}" for i in self.stops)
        listed = ", ".join((*pointers, f"{self.length} %length", *elements))
        head = f"define internal fastcc {self.length} @{name}({listed}) nounwind noinline {{"
        wide = self.length.bits == 64
        convert = "add i64 %length, 0" if wide else f"zext {self.length} %length to i64"
        return "\n".join((head, "start:", f"  %n = {convert}", *self.lines, "}"))

    def add(self, text: str) -> None:
        """Append lines."""
        self.lines += text.strip("\n").splitlines()

    def give(self, value: str) -> None:
        """Return a number of bytes."""
        if self.length.bits == 64:
            self.add(f"  ret i64 {value}")
        else:
            self.add(f"  %r.{value[1:]} = trunc i64 {value} to {self.length}")
            self.add(f"  ret {self.length} %r.{value[1:]}")

    # -- vectors ---------------------------------------------------------------------------

    def splat(self, name: str, value: str, width: int) -> None:
        """A vector of `width` bytes, all of whose elements are `value`."""
        lanes = width // self.bulk.size
        kind = f"<{lanes} x {self.element}>"
        self.add(f"""
  {name}.one = insertelement {kind} poison, {self.element} {value}, i64 0
  {name} = shufflevector {kind} {name}.one, {kind} poison, <{lanes} x i32> zeroinitializer
""")

    def looks(self, tag: str, width: int, sources: Sequence[str]) -> str:
        """Whether a vector has something to stop at: a mask of its elements, not zero if so."""
        lanes = width // self.bulk.size
        kind, bits = f"<{lanes} x {self.element}>", f"<{lanes} x i1>"
        for source in sources:
            self.add(f"""
  %p{source}.{tag} = getelementptr i8, ptr %{source}, i64 %i.{tag}
  %v{source}.{tag} = load {kind}, ptr %p{source}.{tag}, align 1
""")
        first = f"%v{sources[0]}.{tag}"
        found = [f"%e{i}.{tag}" for i in self.stops]
        stops = "ne" if self.bulk.kind == "span" else "eq"
        for i, mask in zip(self.stops, found, strict=True):
            self.add(f"  {mask} = icmp {stops} {kind} {first}, %x{i}.{width}")
        if self.bulk.kind == "compare":
            self.add(f"  %ne.{tag} = icmp ne {kind} {first}, %v{sources[1]}.{tag}")
            found.append(f"%ne.{tag}")
        while len(found) > 1:
            x, y = found.pop(), found.pop()
            found.append(f"{x}o")
            self.add(f"  {x}o = or {bits} {x}, {y}")
        self.add(f"  %m.{tag} = bitcast {bits} {found[0]} to i{lanes}")
        return f"%m.{tag}"

    def copy_tail(self, start: str, length: str, after: str) -> None:
        """Copy the `length` & 31 bytes at offset `start`, then go to `after`."""
        self._tail(start, length, after, self.copy_piece)

    def fill_tail(self, start: str, length: str, after: str) -> None:
        """Fill the `length` & 31 bytes at offset `start`, then go to `after`."""
        self._tail(start, length, after, self._fill_piece)

    def _tail(self, start: str, length: str, after: str, piece: Callable[[int], None]) -> None:
        offset = start
        self.add("  br label %tail\ntail:")
        for size in TAILS:
            self.add(f"""
  %at.{size} = add i64 {offset}, 0
  %bit.{size} = and i64 {length}, {size}
  %has.{size} = icmp ne i64 %bit.{size}, 0
  br i1 %has.{size}, label %do.{size}, label %next.{size}
do.{size}:
""")
            piece(size)
            self.add(f"""
  br label %next.{size}
next.{size}:
  %off.{size} = add i64 %at.{size}, %bit.{size}
""")
            offset = f"%off.{size}"
        self.add(f"  br label %{after}")

    def copy_piece(self, size: int) -> None:
        """Copy `size` bytes at the offset %at.<size>."""
        self.add(f"""
  %ps.{size} = getelementptr i8, ptr %s, i64 %at.{size}
  %pd.{size} = getelementptr i8, ptr %d, i64 %at.{size}
  %piece.{size} = load i{8 * size}, ptr %ps.{size}, align 1
  store i{8 * size} %piece.{size}, ptr %pd.{size}, align 1
""")

    def _fill_piece(self, size: int) -> None:
        value = "%pattern" if size == 8 else f"%piece.{size}"
        if size == 16:
            self.add("  %piece.16 = extractelement <2 x i128> %wide, i64 0")
        elif size < 8:
            self.add(f"  %piece.{size} = trunc i64 %pattern to i{8 * size}")
        self.add(f"""
  %pd.{size} = getelementptr i8, ptr %d, i64 %at.{size}
  store i{8 * size} {value}, ptr %pd.{size}, align 1
""")


# -- the functions ---------------------------------------------------------------------------------


def _copy(w: _Writer) -> None:
    _unless_near(w, "%d, %s", downwards=False)
    w.add(f"""
far:
  %all = and i64 %n, -{VECTOR}
  %none = icmp eq i64 %all, 0
  br i1 %none, label %rest, label %loop
loop:
  %i = phi i64 [ 0, %far ], [ %i2, %loop ]
  %ps = getelementptr i8, ptr %s, i64 %i
  %pd = getelementptr i8, ptr %d, i64 %i
  %v = load <{VECTOR} x i8>, ptr %ps, align 1
  store <{VECTOR} x i8> %v, ptr %pd, align 1
  %i2 = add i64 %i, {VECTOR}
  %more = icmp ult i64 %i2, %all
  br i1 %more, label %loop, label %rest
rest:
""")
    w.copy_tail("%all", "%n", "end")
    w.add(f"end:\n  ret {w.length} %length")


def _copy_down(w: _Writer) -> None:
    _unless_near(w, "%s, %d", downwards=True)
    w.add(f"""
far:
  %few = icmp ult i64 %n, {VECTOR}
  br i1 %few, label %rest, label %loop
loop:
  %i = phi i64 [ %n, %far ], [ %i2, %loop ]
  %i2 = sub i64 %i, {VECTOR}
  %ps = getelementptr i8, ptr %s, i64 %i2
  %pd = getelementptr i8, ptr %d, i64 %i2
  %v = load <{VECTOR} x i8>, ptr %ps, align 1
  store <{VECTOR} x i8> %v, ptr %pd, align 1
  %more = icmp uge i64 %i2, {VECTOR}
  br i1 %more, label %loop, label %rest
rest:
  %left = and i64 %n, {VECTOR - 1}
""")
    offset = "%left"
    for size in TAILS:
        w.add(f"""
  %bit.{size} = and i64 %left, {size}
  %at.{size} = sub i64 {offset}, %bit.{size}
  %has.{size} = icmp ne i64 %bit.{size}, 0
  br i1 %has.{size}, label %do.{size}, label %next.{size}
do.{size}:
""")
        w.copy_piece(size)
        w.add(f"  br label %next.{size}\nnext.{size}:")
        offset = f"%at.{size}"
    w.add(f"  ret {w.length} %length")


def _unless_near(w: _Writer, difference: str, downwards: bool) -> None:
    """To %far if a vector can be stored before the next is loaded; else element by element.

    Upwards, a target that begins one element above its source is filled with that element.
    """
    later, former = (f"ptrtoint ptr {pointer} to i64" for pointer in difference.split(", "))
    size = w.bulk.size
    w.add(f"""
  %later = {later}
  %former = {former}
  %distance = sub i64 %later, %former
  %ahead = sub i64 %distance, 1
  %reach = sub i64 %n, 1
  %short = icmp ult i64 %reach, {VECTOR - 1}
  %within = select i1 %short, i64 %reach, i64 {VECTOR - 1}
  %close = icmp ult i64 %ahead, %within
  %any = icmp ne i64 %n, 0
  %near = and i1 %close, %any
  br i1 %near, label %{"each" if downwards else "next"}, label %far
""")
    if not downwards:
        _fill_near(w)
    w.add(f"""
each:
  %k = phi i64 [ 0, %{"start" if downwards else "next"} ], [ %k2, %each ]
  %k2 = add i64 %k, {size}
  %at.each = {"sub i64 %n, %k2" if downwards else "add i64 %k, 0"}
  %ps.each = getelementptr i8, ptr %s, i64 %at.each
  %pd.each = getelementptr i8, ptr %d, i64 %at.each
  %element = load {w.element}, ptr %ps.each, align 1
  store {w.element} %element, ptr %pd.each, align 1
  %more.k = icmp ult i64 %k2, %n
  br i1 %more.k, label %each, label %done
done:
  ret {w.length} %length
""")


def _fill_near(w: _Writer) -> None:
    """Whole vectors of the element before the target, if that is where the source begins."""
    w.add(f"""
next:
  %is.next = icmp eq i64 %distance, {w.bulk.size}
  %has.whole = icmp uge i64 %n, {VECTOR}
  %repeats = and i1 %is.next, %has.whole
  br i1 %repeats, label %repeat, label %each
repeat:
  %first = load {w.element}, ptr %s, align 1
""")
    _spread(w, "%first")
    w.add(f"""
  br label %again
again:
  %j = phi i64 [ 0, %repeat ], [ %j2, %again ]
  %pd.j = getelementptr i8, ptr %d, i64 %j
  store <4 x i64> %four, ptr %pd.j, align 1
  %j2 = add i64 %j, {VECTOR}
  %end.j = add i64 %j2, {VECTOR}
  %more.j = icmp ule i64 %end.j, %n
  br i1 %more.j, label %again, label %last
last:
  %last.at = sub i64 %n, {VECTOR}
  %pd.last = getelementptr i8, ptr %d, i64 %last.at
  store <4 x i64> %four, ptr %pd.last, align 1
  br label %done
""")


def _spread(w: _Writer, element: str) -> None:
    """%four <- a vector of the element; %pattern <- eight bytes of it."""
    ones = sum(1 << 8 * at for at in range(0, 8, w.bulk.size))
    wide = w.element == "i64"
    widened = f"add i64 {element}, 0" if wide else f"zext {w.element} {element} to i64"
    w.add(f"""
  %wide0 = {widened}
  %pattern = mul i64 %wide0, {ones}
  %one = insertelement <4 x i64> poison, i64 %pattern, i64 0
  %four = shufflevector <4 x i64> %one, <4 x i64> poison, <4 x i32> zeroinitializer
""")


def _fill(w: _Writer) -> None:
    _spread(w, "%x0")
    w.add(f"""
  %wide = bitcast <4 x i64> %four to <2 x i128>
  %all = and i64 %n, -{VECTOR}
  %none = icmp eq i64 %all, 0
  br i1 %none, label %rest, label %loop
loop:
  %i = phi i64 [ 0, %start ], [ %i2, %loop ]
  %pd = getelementptr i8, ptr %d, i64 %i
  store <4 x i64> %four, ptr %pd, align 1
  %i2 = add i64 %i, {VECTOR}
  %more = icmp ult i64 %i2, %all
  br i1 %more, label %loop, label %rest
rest:
""")
    w.fill_tail("%all", "%n", "end")
    w.add(f"end:\n  ret {w.length} %length")


def _look(w: _Writer, sources: Sequence[str], copies: bool) -> None:
    for width in (VECTOR, VECTOR // 2):
        for i in w.stops:
            w.splat(f"%x{i}.{width}", f"%x{i}", width)
    w.add("  br label %head\nhead:")
    w.add("""
  %i.a = phi i64 [ 0, %start ], [ %i2.a, %on.a ]
  %i2.a = add i64 %i.a, 32
  %fits.a = icmp ule i64 %i2.a, %n
  br i1 %fits.a, label %loop.a, label %half
loop.a:
""")
    _step(w, "a", VECTOR, sources, copies)
    w.add("""
  br label %head
half:
  %i.b = add i64 %i.a, 0
  %i2.b = add i64 %i.b, 16
  %fits.b = icmp ule i64 %i2.b, %n
  br i1 %fits.b, label %loop.b, label %short
loop.b:
""")
    _step(w, "b", VECTOR // 2, sources, copies)
    w.give("%i2.b")
    w.add("short:")
    w.give("%i.b")
    _found(w, copies)


def _step(w: _Writer, tag: str, width: int, sources: Sequence[str], copies: bool) -> None:
    """One vector: to %found with the number of bytes before the stop, or on."""
    lanes = width // w.bulk.size
    mask = w.looks(tag, width, sources)
    w.add(f"""
  %none.{tag} = icmp eq i{lanes} {mask}, 0
  br i1 %none.{tag}, label %on.{tag}, label %hit.{tag}
hit.{tag}:
  %lane.{tag} = call i{lanes} @llvm.cttz.i{lanes}(i{lanes} {mask}, i1 true)
  %lane64.{tag} = zext i{lanes} %lane.{tag} to i64
  %before.{tag} = mul i64 %lane64.{tag}, {w.bulk.size}
  br label %found
on.{tag}:
""")
    if copies:
        w.add(f"""
  %pd.{tag} = getelementptr i8, ptr %d, i64 %i.{tag}
  store <{lanes} x {w.element}> %vs.{tag}, ptr %pd.{tag}, align 1
""")


def _found(w: _Writer, copies: bool) -> None:
    w.add("""
found:
  %i.f = phi i64 [ %i.a, %hit.a ], [ %i.b, %hit.b ]
  %before = phi i64 [ %before.a, %hit.a ], [ %before.b, %hit.b ]
  %total = add i64 %i.f, %before
""")
    if copies:
        w.add(f"  %keep = and i64 %before, -{w.bulk.step}")
        w.copy_tail("%i.f", "%keep", "end")
        w.add("end:")
    w.give("%total")


BODIES: dict[str, Callable[[_Writer], None]] = {
    "copy": _copy,
    "copy_down": _copy_down,
    "fill": _fill,
    "copy_until": lambda w: _look(w, ("s",), copies=True),
    "scan": lambda w: _look(w, ("s",), copies=False),
    "span": lambda w: _look(w, ("s",), copies=False),
    "compare": lambda w: _look(w, ("d", "s"), copies=False),
}
