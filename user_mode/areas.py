"""What is mapped where in a guest's address space, as sorted intervals; no host memory is touched.

An `Area` is what Linux calls a vm_area: neighbours that agree in everything are one area.  All
addresses are the guest's; all ends are exclusive.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

PROT_READ, PROT_WRITE, PROT_EXEC = 1, 2, 4

MAP_SHARED, MAP_PRIVATE, MAP_SHARED_VALIDATE, MAP_TYPE = 0x01, 0x02, 0x03, 0x0F
MAP_FIXED, MAP_ANONYMOUS, MAP_GROWSDOWN = 0x10, 0x20, 0x100


class MappedFile:
    """The file behind an area: what /proc/self/maps says of it."""

    __slots__ = ("device", "inode", "path")

    def __init__(self, path: bytes, device: int, inode: int) -> None:
        self.path = path
        self.device = device
        self.inode = inode

    def _key(self) -> tuple[bytes, int, int]:
        return self.path, self.device, self.inode

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MappedFile) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())


class Area:
    """A run of pages with one protection and one origin.

    `flags` are the MAP_* it was mapped with (without MAP_FIXED and the like), `offset` is that in
    `file` of its first byte, `name` what /proc/self/maps shows of memory without a file, `plain`
    that the host can always bring in its pages (no SIGBUS past the end of a file).
    """

    __slots__ = ("end", "file", "flags", "name", "offset", "plain", "prot", "start")

    def __init__(
        self,
        start: int,
        end: int,
        prot: int,
        flags: int,
        file: MappedFile | None = None,
        offset: int = 0,
        name: str = "",
        plain: bool = True,
    ) -> None:
        self.start = start
        self.end = end
        self.prot = prot
        self.flags = flags
        self.file = file
        self.offset = offset
        self.name = name
        self.plain = plain

    @property
    def is_shared(self) -> bool:
        """Whether other processes see what is written here."""
        return bool(self.flags & MAP_SHARED)

    @property
    def grows_down(self) -> bool:
        """Whether the area is a stack that grows when touched below."""
        return bool(self.flags & MAP_GROWSDOWN)

    def cut(self, start: int, end: int) -> Area:
        """The part of this area from `start` to `end`."""
        offset = self.offset + start - self.start if self.file else 0
        return self._copy(start, end, self.prot, offset)

    def with_prot(self, prot: int) -> Area:
        """This area with another protection."""
        return self._copy(self.start, self.end, prot, self.offset)

    def moved(self, start: int, end: int) -> Area:
        """This area at another place, with another length."""
        return self._copy(start, end, self.prot, self.offset)

    def _copy(self, start: int, end: int, prot: int, offset: int) -> Area:
        return Area(start, end, prot, self.flags, self.file, offset, self.name, self.plain)

    def continues(self, other: Area) -> bool:
        """Whether `other`, which begins where this one ends, is more of the same."""
        return (
            self.end == other.start
            and self.prot == other.prot
            and self.flags == other.flags
            and self.plain == other.plain
            and self.name == other.name
            and self.file == other.file
            and (self.file is None or self.offset + self.end - self.start == other.offset)
        )

    def __repr__(self) -> str:
        return f"<Area {self.start:x}-{self.end:x} prot {self.prot} flags {self.flags:#x}>"


class AreaMap:
    """Areas sorted by address, none overlapping, adjacent ones merged where they agree."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._areas: list[Area] = []

    def __iter__(self) -> Iterator[Area]:
        return iter(self._areas)

    def __len__(self) -> int:
        return len(self._areas)

    def clear(self) -> None:
        """Forget everything."""
        self._starts.clear()
        self._areas.clear()

    def find(self, address: int) -> Area | None:
        """The area that holds `address`."""
        i = bisect_right(self._starts, address) - 1
        if i >= 0 and address < self._areas[i].end:
            return self._areas[i]
        return None

    def first_above(self, address: int) -> Area | None:
        """The lowest area that starts above `address`."""
        i = bisect_right(self._starts, address)
        return self._areas[i] if i < len(self._areas) else None

    def last_below(self, address: int) -> Area | None:
        """The highest area that starts below `address`."""
        i = bisect_right(self._starts, address - 1) - 1
        return self._areas[i] if i >= 0 else None

    def _slice(self, start: int, end: int) -> tuple[int, int]:
        """The indices of the areas that overlap the range."""
        first = bisect_right(self._starts, start) - 1
        if first < 0 or self._areas[first].end <= start:
            first += 1
        return first, bisect_right(self._starts, end - 1, first)

    def overlapping(self, start: int, end: int) -> list[Area]:
        """The parts of areas inside the range, in order."""
        first, last = self._slice(start, end)
        return [
            area if start <= area.start and area.end <= end
            else area.cut(max(area.start, start), min(area.end, end))
            for area in self._areas[first:last]
        ]  # fmt: skip

    def is_free(self, start: int, end: int) -> bool:
        """Whether nothing is mapped in the range."""
        first, last = self._slice(start, end)
        return first == last

    def covered_until(self, start: int, end: int) -> int:
        """Where the first hole from `start` on begins; `end` if there is none."""
        for area in self.overlapping(start, end):
            if area.start > start:
                break
            start = area.end
        return start

    def carve(self, start: int, end: int) -> list[Area]:
        """Take the range out; answers what was in it, in order."""
        first, last = self._slice(start, end)
        if first == last:
            return []
        taken = self.overlapping(start, end)
        low, high = self._areas[first], self._areas[last - 1]
        rest = []
        if low.start < start:
            rest.append(low.cut(low.start, start))
        if high.end > end:
            rest.append(high.cut(end, high.end))
        self._areas[first:last] = rest
        self._starts[first:last] = [area.start for area in rest]
        return taken

    def insert(self, area: Area) -> None:
        """Put an area where nothing is, merging it with its neighbours."""
        i = bisect_right(self._starts, area.start)
        first = last = i
        if i > 0 and self._areas[i - 1].continues(area):
            first = i - 1
            before = self._areas[first]
            area = before.moved(before.start, area.end)
        if i < len(self._areas) and area.continues(self._areas[i]):
            last = i + 1
            area = area.moved(area.start, self._areas[i].end)
        self._areas[first:last] = [area]
        self._starts[first:last] = [area.start]

    def highest_gap(self, length: int, low: int, high: int) -> int | None:
        """The highest address at which `length` bytes are free between `low` and `high`."""
        top = high
        for i in range(bisect_right(self._starts, high - 1) - 1, -1, -1):
            area = self._areas[i]
            if top - area.end >= length:
                break
            top = min(top, area.start)
        else:
            return top - length if top - low >= length else None
        return top - length if top - length >= low else None

    def lowest_gap(self, length: int, low: int, high: int) -> int | None:
        """The lowest address at which `length` bytes are free between `low` and `high`."""
        bottom = low
        for area in self.overlapping(low, high):
            if area.start - bottom >= length:
                break
            bottom = area.end
        return bottom if high - bottom >= length else None
