"""Guest memory against the kernel: the same random calls on both, and the same results.

The witness is this machine's Linux, asked through ctypes for mappings in a range of its own address
space that nothing else uses.
"""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from user_mode.errors import Errno
from user_mode.host_memory import HostMemory
from user_mode.memory import GuestMemory

PAGE = 4096
PAGES = 24
AT = 0x20000000
ZONE = 0x5000_0000_0000
"""Where the witness works: AT in the guest is ZONE here."""

MAP_SHARED, MAP_PRIVATE, MAP_FIXED, MAP_ANONYMOUS, NOREPLACE = 1, 2, 0x10, 0x20, 0x100000
PROTS = (0, 1, 3, 3, 3)
Result = int | bytes | str


class Witness:
    """The host's kernel, with the guest's addresses."""

    def __init__(self) -> None:
        self._host = HostMemory()
        self._host.map(ZONE, PAGES * PAGE, 0, MAP_PRIVATE | MAP_ANONYMOUS | NOREPLACE)
        self._host.unmap(ZONE, PAGES * PAGE)

    @staticmethod
    def _at(address: int) -> int:
        return address - AT + ZONE

    def mmap(self, address: int, length: int, prot: int, flags: int, fd: int, offset: int) -> int:
        return self._host.map(self._at(address), length, prot, flags, fd, offset) - ZONE + AT

    def munmap(self, address: int, length: int) -> None:
        self._host.unmap(self._at(address), length)

    def mprotect(self, address: int, length: int, prot: int) -> None:
        self._host.protect(self._at(address), length, prot)

    def mremap(self, address: int, old: int, new: int, flags: int, target: int) -> int:
        return self._host.remap(self._at(address), old, new, flags, self._at(target)) - ZONE + AT

    def madvise(self, address: int, length: int, advice: int) -> None:
        self._host.advise(self._at(address), length, advice)

    def msync(self, address: int, length: int, flags: int) -> None:
        self._host.sync(self._at(address), length, flags)

    def read(self, address: int, length: int) -> bytes:
        data = self._host.copy_out(self._at(address), length)
        if len(data) < length:
            raise Errno(errno.EFAULT)
        return data

    def write(self, address: int, data: bytes) -> None:
        if self._host.copy_in(self._at(address), data) < len(data):
            raise Errno(errno.EFAULT)

    def close(self) -> None:
        self._host.unmap(ZONE, PAGES * PAGE)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[GuestMemory, Witness, int, int]]:
    """Both memories, and a file for each of them with the same contents."""
    files = []
    for name in ("ours", "theirs"):
        path = tmp_path / name
        path.write_bytes(b"".join(bytes((65 + i,)) * PAGE for i in range(6)) + b"end")
        files.append(os.open(path, os.O_RDWR))
    memory, witness = GuestMemory(), Witness()
    yield memory, witness, files[0], files[1]
    memory.close()
    witness.close()
    for fd in files:
        os.close(fd)


def attempt(call: Callable[[], int | bytes | None]) -> Result:
    """The result of a call, or the name of its error."""
    try:
        return call() or 0
    except Errno as error:
        return errno.errorcode[error.code]


class Steps:
    """Random calls: each is a name and its arguments, `fd` standing for the own file."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.kinds = (
            self.mmap, self.mmap, self.mmap_file, self.munmap, self.mprotect, self.mremap,
            self.mremap, self.madvise, self.msync, self.write, self.write, self.read, self.read,
        )  # fmt: skip

    def next(self) -> tuple[str, tuple[int | bytes | str, ...]]:
        return self.rng.choice(self.kinds)()

    def place(self, most: int = 6) -> tuple[int, int]:
        """A range of whole pages, with room above so that nothing grows out of the zone."""
        first = self.rng.randrange(PAGES - 8)
        return AT + first * PAGE, self.rng.randrange(1, most + 1) * PAGE

    def odd(self, value: int) -> int:
        """Mostly the value, sometimes not on a page boundary."""
        return value + (self.rng.choice((1, 100)) if self.rng.random() < 0.03 else 0)

    def mmap(self) -> tuple[str, tuple[int | bytes | str, ...]]:
        address, length = self.place()
        kind = self.rng.choice((MAP_PRIVATE, MAP_PRIVATE, MAP_PRIVATE, MAP_SHARED, 0))
        fixed = self.rng.choice((MAP_FIXED, MAP_FIXED, NOREPLACE))
        flags = kind | MAP_ANONYMOUS | fixed
        return "mmap", (self.odd(address), length, self.rng.choice(PROTS), flags, -1, 0)

    def mmap_file(self) -> tuple[str, tuple[int | bytes | str, ...]]:
        address, length = self.place()
        flags = self.rng.choice((MAP_PRIVATE, MAP_SHARED)) | MAP_FIXED
        offset = self.rng.randrange(7) * PAGE
        return "mmap", (address, length, self.rng.choice(PROTS), flags, "fd", offset)

    def munmap(self) -> tuple[str, tuple[int | bytes | str, ...]]:
        address, length = self.place(3)
        return "munmap", (self.odd(address), self.rng.choice((length, length, length - 5, 0)))

    def mprotect(self) -> tuple[str, tuple[int | bytes | str, ...]]:
        address, length = self.place(4)
        return "mprotect", (self.odd(address), self.odd(length), self.rng.choice((*PROTS, 0x40)))

    def mremap(self) -> tuple[str, tuple[int | bytes | str, ...]]:
        """In place, or to a fixed address: the choice of another place is each kernel's own.

        A move to a fixed address changes the length here, as from Linux 6.17 on one that does not
        may take several mappings along.
        """
        address, old = self.place(4)
        target, new = self.place(4)
        if self.rng.random() < 0.08:
            old = 0
        if self.rng.random() < 0.4:
            return "mremap", (self.odd(address), old, new, self.rng.choice((0, 0, 0, 2, 8)), target)
        new += PAGE if new == old else 0
        return "mremap", (address, old, new, 3, self.odd(target))

    def madvise(self) -> tuple[str, tuple[int | bytes | str, ...]]:
        address, length = self.place(4)
        return "madvise", (self.odd(address), length, self.rng.choice((0, 3, 4, 4, 4, 77)))

    def msync(self) -> tuple[str, tuple[int | bytes | str, ...]]:
        address, length = self.place(4)
        return "msync", (self.odd(address), length, self.rng.choice((1, 4, 5, 8)))

    def write(self) -> tuple[str, tuple[int | bytes | str, ...]]:
        address, length = self.place(2)
        data = self.rng.randbytes(self.rng.choice((1, 8, 300, length)))
        return "write", (address + self.rng.randrange(PAGE), data)

    def read(self) -> tuple[str, tuple[int | bytes | str, ...]]:
        address, length = self.place(3)
        return "read", (address + self.rng.randrange(PAGE), self.rng.choice((1, 8, 300, length)))


def contents(memory: GuestMemory | Witness) -> list[Result]:
    """What every page of the zone holds, or why it cannot be read."""
    return [attempt(lambda at=AT + i * PAGE: memory.read(at, PAGE)) for i in range(PAGES)]  # type: ignore[misc]


@pytest.mark.parametrize("count", [60, pytest.param(2000, marks=pytest.mark.slow)])
def test_random_calls_have_the_results_that_linux_gives(
    pair: tuple[GuestMemory, Witness, int, int], count: int
) -> None:
    """With one exception: whether neighbouring pages are one mapping or two, of which mremap(2)
    moves only one at a time, the kernel decides by more than we know.
    """
    memory, witness, ours, theirs = pair
    merged = 0
    seed = random.randrange(1 << 32)
    steps = Steps(random.Random(seed))
    for round_ in range(count):
        trail = [f"seed {seed} round {round_}"]
        for _ in range(40):
            name, arguments = steps.next()
            mine = [ours if a == "fd" else a for a in arguments]
            other = [theirs if a == "fd" else a for a in arguments]
            got = attempt(lambda name=name, mine=mine: getattr(memory, name)(*mine))  # type: ignore[misc]
            wanted = attempt(lambda name=name, other=other: getattr(witness, name)(*other))  # type: ignore[misc]
            shown = [a if not isinstance(a, bytes) else len(a) for a in arguments]
            trail.append(f"{name}{shown} {got!r:.40} {wanted!r:.40}")
            if name == "mremap" and got != wanted and "EFAULT" in (got, wanted):
                merged += 1
                break
            assert got == wanted, "\n".join(trail)
        else:
            assert contents(memory) == contents(witness), "\n".join(trail)
        memory.munmap(AT, PAGES * PAGE)
        witness.munmap(AT, PAGES * PAGE)
    assert merged <= 1 + count // 50
