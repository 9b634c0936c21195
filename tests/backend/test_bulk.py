"""Bulk operations as host code against their reference meaning: lengths, overlaps, stops."""

from __future__ import annotations

import ctypes
from random import Random

import pytest

from backend.llvm.arena import HostArena
from backend.llvm.idioms import VECTOR, bulk_function
from tcg.bulk import KINDS, Bulk, run_bulk
from tcg.types import I64
from tests.backend.conftest import Compile, no_symbol

ROOM = 2048
SEARCHES = ("copy_until", "scan", "span", "compare")
OPERATIONS = [
    Bulk(kind, size, 2 * size if kind == "copy_until" else size)
    for kind in KINDS
    for size in (1, 2, 4, 8)
]


class Bytes:
    """Memory as the reference meaning sees it."""

    def __init__(self, data: bytes) -> None:
        self.data = bytearray(data)

    def read(self, address: int, size: int) -> bytes:
        return bytes(self.data[address : address + size])

    def write(self, address: int, data: bytes) -> None:
        self.data[address : address + len(data)] = data


def module(bulk: Bulk) -> str:
    """The function, and `run`, which is called with pointers, length, element."""
    values = 0 if bulk.kind in ("copy", "copy_down", "compare") else 1
    name, text = bulk_function(bulk, values, I64)
    element = f"i{8 * bulk.size}"
    pointers = ("ptr %p", "ptr %q")[: bulk.addresses]
    given = ", ".join((*pointers, "i64 %n", *(f"{element} %x" for _ in range(values))))
    lanes = {VECTOR // bulk.size, VECTOR // bulk.size // 2}
    declarations = [f"declare i{n} @llvm.cttz.i{n}(i{n}, i1)" for n in lanes]
    run = f"""
define i64 @run(ptr %p, ptr %q, i64 %n, i64 %wide) {{
  %x = {f"trunc i64 %wide to {element}" if bulk.size < 8 else "add i64 %wide, 0"}
  %done = call fastcc i64 @{name}({given})
  ret i64 %done
}}
"""
    return "\n".join((*declarations, text, run))


@pytest.mark.parametrize("bulk", OPERATIONS, ids=str)
def test_like_the_reference(arena: HostArena, compile_text: Compile, bulk: Bulk) -> None:
    code = arena.install(compile_text(module(bulk)), no_symbol).exports["run"]
    kind = ctypes.CFUNCTYPE(ctypes.c_uint64, *[ctypes.c_uint64] * 4)
    run = kind(code)
    random = Random(str(bulk))
    for _ in range(300):
        data = bytes(random.choice(b"\0\0\0\0\0\1") for _ in range(ROOM))
        length = random.randrange(1, random.choice((4, 40, 120))) * bulk.step
        reach = ROOM - length
        first = random.randrange(reach)
        near = max(0, min(reach - 1, first + random.randrange(-40, 41)))
        second = random.choice((near, random.randrange(reach)))
        if bulk.kind == "copy_until" and first > second:
            first, second = second, first
        element = random.choice((0, 1, 0x0100_0001))
        places = (first, second)[: bulk.addresses]
        element %= 1 << 8 * bulk.size
        values = () if bulk.kind in ("copy", "copy_down", "compare") else (element,)
        memory = Bytes(data)
        expected = run_bulk(memory, bulk, *places, length, *values)
        buffer = ctypes.create_string_buffer(data, ROOM)
        base = ctypes.addressof(buffer)
        done = run(base + first, base + second, length, element)
        if bulk.kind in SEARCHES:
            assert expected - VECTOR // 2 < done <= expected, (places, length, data)
        else:
            assert done == expected == length
        if bulk.kind == "copy_until":
            memory = Bytes(data)
            whole = done - done % bulk.step
            memory.write(first, memory.read(second, whole))
        assert buffer.raw == bytes(memory.data), (places, length)
