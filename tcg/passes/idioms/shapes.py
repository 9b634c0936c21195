"""Which idiom an iteration is: what it copies, writes or looks for, and what ends it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tcg import ops
from tcg.ops import Op
from tcg.passes.idioms.linear import Element, Exit, Iteration, Linear, Test, Touch
from tcg.types import Type

MAX_STEP = 256


@dataclass(frozen=True, slots=True)
class Stream:
    """Elements that stand side by side: `step` bytes an iteration, from `start` on upwards.

    `step` is negative where iterations go downwards; `start` is still the lowest byte.
    """

    start: Linear
    step: int
    size: int
    order: str


@dataclass(frozen=True, slots=True)
class Stop:
    """An element that ends the loop: it is so if, widened to the stop's type, it equals it."""

    value: Linear
    signed: bool


@dataclass(frozen=True, slots=True)
class Bound:
    """The loop goes on while `op` holds of x and y, whose difference grows by `step`."""

    op: Op
    x: Linear
    y: Linear
    step: int


@dataclass(frozen=True, slots=True)
class Idiom:
    """A recognised loop.  `streams`: target before source, as the bulk operation takes them."""

    kind: str
    streams: tuple[Stream, ...]
    stops: tuple[Stop, ...]
    bounds: tuple[Bound, ...]
    value: Linear | None = None

    @property
    def step(self) -> int:
        """Bytes that an iteration covers; negative if it goes downwards."""
        return self.streams[0].step

    def __str__(self) -> str:
        until = f" until one of {len(self.stops)} values" if self.stops else ""
        size = self.streams[0].size
        count = abs(self.step) // size
        way = "down" if self.step < 0 else "up"
        return f"{self.kind} {8 * size}-bit elements {way}wards, {count} an iteration{until}"


class NoIdiom(Exception):
    """The iteration is none that we know."""


def recognise(iteration: Iteration, parallel: bool) -> Idiom:
    """The idiom that the iteration is; raises NoIdiom.

    `parallel`: others may change memory between our look at it and the guest's.
    """
    stores = [t for t in iteration.touches if t.is_store]
    loads = [t for t in iteration.touches if not t.is_store]
    sources = _sources(iteration, loads)
    tests = _Tests(iteration, sources)
    for exit_ in iteration.exits:
        tests.sort(exit_, parallel)
    if stores:
        return _writing(iteration, stores, sources, tests)
    return _looking(list(sources.values()), tests)


# -- streams ---------------------------------------------------------------------------------------

Sources = dict[frozenset[object], Stream]
"""Streams of loads by the terms of their addresses."""


def _sources(iteration: Iteration, loads: Sequence[Touch]) -> Sources:
    groups: dict[frozenset[object], list[Touch]] = {}
    for touch in loads:
        groups.setdefault(frozenset(touch.address.terms), []).append(touch)
    return {terms: _stream(iteration, touches) for terms, touches in groups.items()}


def _stream(iteration: Iteration, touches: Sequence[Touch]) -> Stream:
    """The accesses as one stream; raises NoIdiom if they leave gaps or differ in kind."""
    first = touches[0]
    step = iteration.step(first.address)
    if not step or abs(step) > MAX_STEP or any(t.access != first.access for t in touches):
        raise NoIdiom
    signed = first.address.type.signed
    offsets = sorted({signed(t.address.constant) for t in touches})
    lowest = offsets[0]
    if offsets != list(range(lowest, lowest + abs(step), first.size)):
        raise NoIdiom
    if first.size > 8 or abs(step) % first.size:
        raise NoIdiom
    start = Linear(first.address.type, first.address.terms, first.address.type.wrap(lowest))
    order = "le" if first.size == 1 else first.access.order
    return Stream(start, step, first.size, order)


def _offset(touch: Touch, stream: Stream) -> int:
    return touch.address.type.wrap(touch.address.constant - stream.start.constant)


# -- idioms ----------------------------------------------------------------------------------------


def _writing(
    iteration: Iteration, stores: Sequence[Touch], sources: Sources, tests: _Tests
) -> Idiom:
    if len({touch.address.terms for touch in stores}) != 1:
        raise NoIdiom
    target = _stream(iteration, stores)
    offsets = [_offset(touch, target) for touch in stores]
    if len(set(offsets)) != len(offsets) or tests.pairs:
        raise NoIdiom
    if sources:
        return _copy(iteration, target, sources, tests)
    value = stores[0].stored
    if not isinstance(value, Linear) or any(touch.stored != value for touch in stores):
        raise NoIdiom
    if iteration.step(value) != 0 or value.type.is_float:
        raise NoIdiom
    return Idiom("fill", (target,), (), tuple(tests.bounds), value)


def _copy(iteration: Iteration, target: Stream, sources: Sources, tests: _Tests) -> Idiom:
    if len(sources) != 1:
        raise NoIdiom
    (source,) = sources.values()
    if (source.step, source.size) != (target.step, target.size):
        raise NoIdiom
    _check_order(iteration, target, source)
    if not tests.stops:
        return Idiom("copy", (target, source), (), tuple(tests.bounds))
    step = target.step
    if not 0 < step <= 32 or step & (step - 1):
        raise NoIdiom
    return Idiom("copy_until", (target, source), tuple(tests.stops), tuple(tests.bounds))


def _check_order(iteration: Iteration, target: Stream, source: Stream) -> None:
    """Each store writes what the load of its own place gave, and loads come in order before it."""
    loaded: list[int] = []
    for touch in iteration.touches:
        if not touch.is_store:
            loaded.append(_offset(touch, source))
            continue
        element = touch.stored
        if not isinstance(element, Element) or element.type is not touch.access.type:
            raise NoIdiom
        load = iteration.touches[element.load]
        place = _offset(touch, target)
        if load.access != touch.access or _offset(load, source) != place:
            raise NoIdiom
        before = range(0, place, target.size) if target.step > 0 else ()
        if not set(before) <= set(loaded):
            raise NoIdiom
        loaded_again = loaded.count(place) != 1
        if loaded_again:
            raise NoIdiom


def _looking(sources: Sequence[Stream], tests: _Tests) -> Idiom:
    if not sources or any(source.step < 0 for source in sources):
        raise NoIdiom
    if len(sources) == 1 and tests.stops and not tests.pairs:
        return Idiom("scan", tuple(sources), tuple(tests.stops), tuple(tests.bounds))
    if len(sources) != 2 or not tests.pairs:
        raise NoIdiom
    one, other = sources
    if (one.step, one.size, one.order) != (other.step, other.size, other.order):
        raise NoIdiom
    return Idiom("compare", (one, other), tuple(tests.stops), tuple(tests.bounds))


# -- ends ------------------------------------------------------------------------------------------

_NEGATED: dict[Op, tuple[Op, bool]] = {
    ops.EQ: (ops.NE, False),
    ops.NE: (ops.EQ, False),
    ops.ULT: (ops.ULE, True),
    ops.ULE: (ops.ULT, True),
    ops.SLT: (ops.SLE, True),
    ops.SLE: (ops.SLT, True),
}
"""The comparison that holds when the first does not, and whether its operands are exchanged."""

Relation = tuple[Op, "Linear | Element", "Linear | Element"]


class _Tests:
    """What keeps the loop going, sorted: bounds, stops, equal pairs of elements."""

    def __init__(self, iteration: Iteration, sources: Sources) -> None:
        self.iteration = iteration
        self.sources = list(sources)
        self.bounds: list[Bound] = []
        self.stops: list[Stop] = []
        self.pairs = 0

    def sort(self, exit_: Exit, parallel: bool) -> None:
        """Take a way out apart; raises NoIdiom."""
        if isinstance(exit_.test, Linear):
            if self.iteration.step(exit_.test) != 0:
                raise NoIdiom
            return
        if not isinstance(exit_.test, Test):
            raise NoIdiom
        for op, x, y in self._relations(exit_.test, exit_.stays):
            if isinstance(x, Linear) and isinstance(y, Linear):
                self._bound(op, x, y)
                continue
            if parallel and not self._all_written(exit_):
                raise NoIdiom
            if isinstance(x, Element) and isinstance(y, Element):
                self._pair(op, x, y)
            else:
                self._stop(op, x, y)

    def _all_written(self, exit_: Exit) -> bool:
        """Whether everything that the iteration computes anew is computed before this way out."""
        return self.iteration.anew <= exit_.written

    def _relations(self, test: Test, stays: bool) -> Iterator[Relation]:
        """What all must hold for the loop to go on."""
        holds = test.holds == stays
        inst = test.inst
        if inst.op in (ops.AND, ops.OR):
            if holds != (inst.op is ops.AND):
                raise NoIdiom
            for arg in inst.args:
                part = self.iteration.of(arg)
                if not isinstance(part, Test):
                    raise NoIdiom
                yield from self._relations(part, holds)
            return
        x, y = map(self.iteration.of, inst.args)
        if not isinstance(x, Linear | Element) or not isinstance(y, Linear | Element):
            raise NoIdiom
        op, exchanged = (inst.op, False) if holds else _NEGATED[inst.op]
        yield (op, y, x) if exchanged else (op, x, y)

    def _bound(self, op: Op, x: Linear, y: Linear) -> None:
        steps = self.iteration.step(x), self.iteration.step(y)
        if steps[0] is None or steps[1] is None:
            raise NoIdiom
        growth = steps[0] - steps[1]
        is_order = op not in (ops.EQ, ops.NE)
        if not growth and (not is_order or steps == (0, 0)):
            return
        if op is ops.EQ or abs(growth) > MAX_STEP:
            raise NoIdiom
        if is_order and (growth < 0 or 0 not in steps):
            raise NoIdiom
        self.bounds.append(Bound(op, x, y, growth))

    def _pair(self, op: Op, x: Element, y: Element) -> None:
        """The loop goes on while elements at the same place of the two streams are equal."""
        one, other = (self.iteration.touches[e.load] for e in (x, y))
        if op is not ops.EQ or one.access != other.access or x.signed != y.signed:
            raise NoIdiom
        if len(self.sources) != 2 or one.address.terms == other.address.terms:
            raise NoIdiom
        lows = {
            terms: min(
                t.address.type.signed(t.address.constant)
                for t in self.iteration.touches
                if frozenset(t.address.terms) == terms
            )
            for terms in self.sources
        }
        places = {
            t.address.type.signed(t.address.constant) - lows[frozenset(t.address.terms)]
            for t in (one, other)
        }
        if len(places) != 1:
            raise NoIdiom
        self.pairs += 1

    def _stop(self, op: Op, x: Linear | Element, y: Linear | Element) -> None:
        """The loop goes on while an element is not a certain value."""
        if op in (ops.ULT, ops.SLT) and isinstance(x, Linear) and x == Linear(x.type):
            assert isinstance(y, Element)
            if op is ops.SLT and not self._is_unsigned(y):
                raise NoIdiom
            op = ops.NE
        element, value = (x, y) if isinstance(x, Element) else (y, x)
        if op is not ops.NE or self.iteration.step(_linear(value)) != 0:
            raise NoIdiom
        assert isinstance(element, Element)
        if self.iteration.touches[element.load].access.type.is_float:
            raise NoIdiom
        stop = Stop(_linear(value), element.signed)
        if stop not in self.stops:
            self.stops.append(stop)
        if len(self.stops) > 2:
            raise NoIdiom

    def _is_unsigned(self, element: Element) -> bool:
        loaded: Type = self.iteration.touches[element.load].access.type
        return element.type.bits > loaded.bits and not element.signed


def _linear(value: Linear | Element) -> Linear:
    if not isinstance(value, Linear):
        raise NoIdiom
    return value
