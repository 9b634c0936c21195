"""What Python costs a guest instruction in a region: decode and lift, then the passes.

The regions are the functions of the program `kernels`, each whole.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from time import process_time

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.conftest import Programs
from bench.workloads import BY_NAME
from frontends.ppc.frontend import PpcFrontend
from tcg.passes import optimize
from tcg.region import RegionBlock, build_region

FUNCTIONS = (
    "main",
    "crc16",
    "make_list",
    "turned",
    "merged",
    "sorted",
    "lists",
    "matrices",
    "step",
    "machine",
)
BUDGET = 60.0
"""Microseconds of Python for an instruction."""


def functions(binary: Path) -> Iterator[tuple[int, bytes]]:
    """Address and code of the functions that are still there after inlining."""
    from elftools.elf.elffile import ELFFile

    with binary.open("rb") as file:
        elf = ELFFile(file)
        text = elf.get_section_by_name(".text")
        table = elf.get_section_by_name(".symtab")
        if table is None:
            return
        for symbol in table.iter_symbols():
            if symbol.name.partition(".")[0] in FUNCTIONS and symbol["st_size"]:
                at = symbol["st_value"] - text["sh_addr"]
                yield symbol["st_value"], text.data()[at : at + symbol["st_size"]]


def targets(pc: int, word: int) -> list[int]:
    """Where blocks begin because of one instruction: behind a branch, and where it goes."""
    opcode = word >> 26
    if opcode == 18:
        return [pc + 4, pc + ((word & 0x3FFFFFC ^ 0x2000000) - 0x2000000)]
    if opcode == 16:
        return [pc + 4, pc + ((word & 0xFFFC ^ 0x8000) - 0x8000)]
    is_branch = opcode == 19 and word >> 1 & 0x3FF in (16, 528)
    return [pc + 4] if is_branch else []


def blocks(start: int, code: bytes) -> list[RegionBlock]:
    """A function cut into basic blocks."""
    words = struct.unpack(f">{len(code) // 4}I", code)
    places = [(start + 4 * n, word) for n, word in enumerate(words)]
    found = {place for pc, word in places for place in targets(pc, word)}
    starts = sorted({start} | {place for place in found if start < place < start + len(code)})
    ends = [*starts[1:], start + len(code)]
    return [
        RegionBlock(pc, code[pc - start : end - start])
        for pc, end in zip(starts, ends, strict=True)
    ]


def test_python_per_instruction(benchmark: BenchmarkFixture, guest: Programs) -> None:
    regions = [blocks(start, code) for start, code in functions(guest(BY_NAME["kernels"]))]
    if not regions:
        pytest.skip("the program has no symbols")
    frontend = PpcFrontend()
    spent = {"decode and lift": 0.0, "passes": 0.0}
    count = 0

    def translate() -> None:
        nonlocal count
        for region in regions:
            started = process_time()
            function = build_region(frontend, region)
            lifted = process_time()
            optimize(function)
            spent["decode and lift"] += lifted - started
            spent["passes"] += process_time() - lifted
            count += sum(len(block.code) // 4 for block in region)

    translate()
    spent.update(dict.fromkeys(spent, 0.0))
    count = 0
    benchmark.pedantic(translate, rounds=10)
    parts = {name: seconds / count * 1e6 for name, seconds in spent.items()}
    benchmark.extra_info.update(
        kind="cost", what="decode, lift and passes, per guest instruction", bound=BUDGET,
        value=sum(parts.values()), parts=parts,
    )  # fmt: skip
