"""The map of areas against a list with one entry a page."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from user_mode.areas import MAP_ANONYMOUS, MAP_PRIVATE, Area, AreaMap, MappedFile

PAGE = 4096
PAGES = 24
FILE = MappedFile(b"/file", 1, 2)
ANON = MAP_PRIVATE | MAP_ANONYMOUS

Operation = tuple[str, int, int, int]
operations = st.lists(
    st.tuples(
        st.sampled_from(("anon", "file", "carve")),
        st.integers(0, PAGES - 1),
        st.integers(1, 8),
        st.sampled_from((1, 3)),
    ),
    max_size=30,
)


def build(steps: list[Operation]) -> tuple[AreaMap, list[tuple[int, int] | None]]:
    """Do the steps on a map, and on a list of (protection, offset in the file or -1) by page."""
    areas, model = AreaMap(), [None] * PAGES
    pages: list[tuple[int, int] | None] = list(model)
    for kind, first, count, prot in steps:
        last = min(first + count, PAGES)
        start, end = first * PAGE, last * PAGE
        areas.carve(start, end)
        file = FILE if kind == "file" else None
        if kind != "carve":
            areas.insert(Area(start, end, prot, ANON, file, start if file else 0))
        for page in range(first, last):
            offset = page * PAGE if file else -1
            pages[page] = None if kind == "carve" else (prot, offset)
    return areas, pages


@given(operations)
def test_pages_are_what_was_done_last(steps: list[Operation]) -> None:
    areas, pages = build(steps)
    for page, expected in enumerate(pages):
        area = areas.find(page * PAGE + 5)
        found = None
        if area is not None:
            offset = area.offset + page * PAGE - area.start if area.file else -1
            found = (area.prot, offset)
        assert found == expected


@given(operations)
def test_areas_are_sorted_apart_and_merged(steps: list[Operation]) -> None:
    listed = list(build(steps)[0])
    for one, other in pairwise(listed):
        assert one.end <= other.start
        assert not one.continues(other)


@given(operations, st.integers(1, PAGES), st.integers(0, PAGES), st.integers(0, PAGES))
def test_gaps(steps: list[Operation], count: int, low: int, high: int) -> None:
    areas, pages = build(steps)
    places = [
        first
        for first in range(low, high - count + 1)
        if all(page is None for page in pages[first : first + count])
    ]
    arguments = (count * PAGE, low * PAGE, high * PAGE)
    highest, lowest = areas.highest_gap(*arguments), areas.lowest_gap(*arguments)
    assert highest == (places[-1] * PAGE if places else None)
    assert lowest == (places[0] * PAGE if places else None)


@given(operations, st.integers(0, PAGES - 1), st.integers(1, PAGES))
def test_ranges(steps: list[Operation], first: int, count: int) -> None:
    areas, pages = build(steps)
    last = min(first + count, PAGES)
    inside = pages[first:last]
    start, end = first * PAGE, last * PAGE
    assert areas.is_free(start, end) == (not any(inside))
    hole = next((i for i, page in enumerate(inside) if page is None), len(inside))
    assert areas.covered_until(start, end) == start + hole * PAGE
    assert sum(a.end - a.start for a in areas.overlapping(start, end)) == PAGE * sum(
        map(bool, inside)
    )
    above = areas.first_above(start)
    starts = [area.start for area in areas]
    assert (above.start if above else None) == min((s for s in starts if s > start), default=None)
    below = areas.last_below(start)
    assert (below.start if below else None) == max((s for s in starts if s < start), default=None)
