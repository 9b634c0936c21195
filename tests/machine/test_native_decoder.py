"""The native decoder beside the Python one, on random bytes and on what compilers make."""

from __future__ import annotations

import random
from struct import pack, unpack_from

import pytest

from tcg import ops
from tcg.decode.intel.decoder import FIELDS
from tcg.ir import Function
from tcg.native.expressions import Code, NotNative, program, run
from tcg.native.host import HostBuilder
from tcg.state import HEADER
from tcg.system_engine import SystemEngine
from tcg.types import VOID
from tests.machine.bare import Bare

MODES = {16: 0x000, 32: 0x01D, 64: 0x05E}
CODE, TABLES, ROW, LENGTH, PC, FIELD = 0, 8, 16, 24, 32, 40
MASK64 = (1 << 64) - 1


class Decoders:
    """Both decoders of a mode."""

    def __init__(self, mode: int) -> None:
        bare = Bare("threaded", "qemu64")
        assert isinstance(bare.runner, SystemEngine)
        self.engine = bare.runner
        self.frontend = self.engine.guest.frontend(MODES[mode])
        self.native = self.frontend.native_decoder()  # type: ignore[attr-defined]
        backend = self.engine.backend
        self.job = backend.allocate(8 * 64)
        self.tables = self._copied(self.native.tables)
        self.code = backend.allocate(64)
        self.routine = self.engine._own_routine(f"test_decode_{mode}", self._build)

    def _copied(self, data: bytes) -> int:
        backend = self.engine.backend
        address = backend.allocate(len(data))
        backend.view[address - backend.base : address - backend.base + len(data)] = data
        return address

    def _build(self, function: Function) -> None:
        b = HostBuilder(function)
        job = b.get(HEADER["job"])
        tables, code = b.load_u(job, 8, TABLES), b.load_u(job, 8, CODE)
        row, length = self.native.emit(b, tables, job + FIELD, code, b.load_u(job, 8, PC))
        b.store_n(job, 8, row.get(), ROW)
        b.store_n(job, 8, length.get(), LENGTH)
        b.emit(ops.NEXT, VOID)

    def natively(self, code: bytes, pc: int) -> tuple[int, tuple[int, ...]]:
        """Row and fields."""
        backend = self.engine.backend
        view, at = backend.view, self.job - backend.base
        view[self.code - backend.base :][:32] = code.ljust(32, b"\0")
        view[at : at + 40] = pack("<5Q", self.code, self.tables, 0, 0, pc)
        self.engine._run_routine(self.routine, self.job)
        (row,) = unpack_from("<Q", view, at + ROW)
        fields = unpack_from(f"<{len(FIELDS)}q", view, at + FIELD)
        return row, fields


def some_code(random_: random.Random) -> bytes:
    """Bytes that are often an instruction."""
    prefixes = bytes(random_.choices(b"\x66\x67\xf2\xf3\xf0\x2e\x64\x65\x48\x4c\x41", k=3))
    start = prefixes[: random_.choice((0, 0, 0, 1, 1, 2, 3))]
    escape = random_.choice(
        (b"", b"", b"\x0f", b"\x0f", b"\x0f\x38", b"\x0f\x3a", b"\xc5", b"\xc4")
    )
    return (start + escape + random_.randbytes(20))[:20]


@pytest.mark.parametrize("mode", MODES)
def test_random_bytes(mode: int) -> None:
    decoders = Decoders(mode)
    seed = random.randrange(1 << 32)
    random_ = random.Random(seed)
    for _ in range(20_000):
        code = some_code(random_)
        pc = random_.choice((0x7C00, 0xFFF0, 0xC010_0000 if mode > 16 else 0x1234))
        row, fields = decoders.natively(code, pc)
        wanted = decoders.frontend.decode(code, 0, pc)
        place = f"seed {seed}, mode {mode}, pc {pc:#x}, {code.hex()}"
        if row == 0xFFFF_FFFE:
            assert wanted is None or "0f" in code.hex(), place
        elif wanted is None:
            assert row >= decoders.native.rows, place
        else:
            signed = tuple(signed64(value) for value in wanted.fields)
            assert (row, dict(zip(FIELDS, fields, strict=True))) == (
                wanted.row, dict(zip(FIELDS, signed, strict=True))
            ), place  # fmt: skip


def signed64(value: int) -> int:
    return (value + (1 << 63) & MASK64) - (1 << 63)


@pytest.mark.parametrize(
    "text",
    [
        "rm", "pc", "(8 + reg)", "(200 + (8 * rm))", "(disp & 65535)", "(pc + (imm & 255))",
        "bool((reg >= 4) & (rex == 0))", "following(pc, length, 65535)", "(-imm)", "(~(imm | 3))",
        "((rm << 3) >> 1)", "(imm // 8)", "(reg != 5)",
    ],
)  # fmt: skip
def test_expressions(text: str) -> None:
    functions = {"following": "frontends.x86.context:following"}
    words = program(text, FIELDS, functions)
    from frontends.x86.context import following

    for seed in range(50):
        random_ = random.Random(seed)
        values = {name: random_.randrange(-(1 << 31), 1 << 31) for name in (*FIELDS, "pc")}
        values["rm"] &= 15
        wanted = eval(text, {"following": following.__wrapped__}, values)  # type: ignore[attr-defined]
        assert run(words, [*values.values()]) == int(wanted), seed


def test_affine() -> None:
    """The usual operand is one operation."""
    assert program("(200 + (8 * rm))", ["reg", "rm"], {}) == [Code.AFFINE | 1 << 8, 200, 8]


@pytest.mark.parametrize("text", ["imm % 3", "imm // 3", "other", "max(imm, 3)"])
def test_what_programs_have_not(text: str) -> None:
    with pytest.raises(NotNative):
        program(text, ["imm"], {})
