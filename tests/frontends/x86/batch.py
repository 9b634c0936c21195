"""Arrays of cases natively: filled with random values, run on an engine of ours, compared.

The code is batch.ll.  A `Filler` says what is put into one part of every case.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from struct import Struct

from tests.frontends.x86 import case, values

_FILLER = Struct("<iiiiQQQQii")
MOST_FOUND = 4096


@dataclass(frozen=True, slots=True)
class Filler:
    """Fill `count` items, `stride` bytes apart, from a pool; in `share` of 256 with any bits.

    `add` is added to each; of `index` (the offset of a register) the value is taken off,
    shifted by `scale`.
    """

    offset: int
    pool: str
    count: int = 1
    stride: int = 8
    share: int = 0
    add: int = 0
    index: int = -1
    scale: int = 0


@cache
def _installed() -> dict[str, int]:
    """batch.ll, compiled and installed: what it defines."""
    from backend.llvm.arena import HostArena
    from backend.llvm.compilation import compile_module
    from frontends.x86.state import OTHER_FLAGS
    from tcg.state import HEADER, NO_ADDRESS, Reason

    numbers = {f"case.{k}": v for k, v in vars(case).items() if k.isupper()}
    numbers |= {name: slot.offset for name, slot in HEADER.items()}
    numbers |= {f"Reason.{reason.name}": int(reason) for reason in Reason}
    numbers |= {"OTHER_FLAGS": OTHER_FLAGS, "NO_ADDRESS": NO_ADDRESS}
    text = Path(__file__).with_name("batch.ll").read_text()
    text = re.sub(r"\{\{([\w.]+)\}\}", lambda found: str(numbers[found[1]]), text)
    libc = ctypes.CDLL(None)

    def resolve(name: str) -> int:
        found = ctypes.cast(getattr(libc, name), ctypes.c_void_p).value
        assert found is not None
        return found

    arena = HostArena(1 << 20, 1 << 16)
    code = arena.install(compile_module(text).blob, resolve)
    _KEPT.append(arena)
    return code.exports


_KEPT: list[object] = []


def _function(name: str, *arguments: type[ctypes._SimpleCData[int]]) -> Callable[..., int]:
    made: Callable[..., int] = ctypes.CFUNCTYPE(ctypes.c_uint64, *arguments)(_installed()[name])
    return made


class Batch:
    """The functions of batch.ll, and pools made from a seed."""

    def __init__(self, seed: int) -> None:
        word = ctypes.c_uint64
        self._fill = _function("batch_fill", *(word,) * 7)
        self._compare = _function("batch_compare", *(word,) * 7)
        self.load = _function("batch_load", word, word)
        self.run = _function("batch_run", word, word, word)
        self.finish = _function("batch_finish", word, word)
        random = Random(seed)
        self._pools = {
            name: ctypes.create_string_buffer(values.pool(name, random)) for name in values.POOLS
        }
        self._found = (ctypes.c_uint64 * MOST_FOUND)()

    def _pack(self, filler: Filler) -> bytes:
        pool = ctypes.addressof(self._pools[filler.pool])
        return _FILLER.pack(
            filler.offset, filler.count, filler.stride, values.POOLS[filler.pool][1], pool,
            (1 << values.POOL_BITS) - 1, filler.share, filler.add & values.MASK64,
            filler.index, filler.scale,
        )  # fmt: skip

    def fill(
        self, cases: memoryview, count: int, model: bytes, fillers: Sequence[Filler], seed: int
    ) -> None:
        """Make `count` cases like `model`, with parts filled."""
        packed = b"".join(map(self._pack, fillers))
        self._fill(address(cases), count, len(model), _at(model), _at(packed), len(fillers), seed)

    def compare(
        self, ours: memoryview, theirs: memoryview, count: int, mask: bytes
    ) -> Sequence[int]:
        """The numbers of the cases that differ in bits of the mask, at most MOST_FOUND."""
        found = self._compare(
            address(ours), address(theirs), count, len(mask), _at(mask),
            ctypes.addressof(self._found), MOST_FOUND,
        )  # fmt: skip
        return self._found[:found]


def address(view: memoryview) -> int:
    """Where a writable view lies."""
    return ctypes.addressof(ctypes.c_char.from_buffer(view))


def _at(data: bytes) -> int:
    found = ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value
    assert found is not None
    return found
