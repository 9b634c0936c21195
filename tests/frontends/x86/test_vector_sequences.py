"""Random SSE and AVX instructions in a row, as regions have them: registers that live in halves,
flags that live from one instruction to the next, on native engines and on the host.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest

from frontends.x86.fields import FIELDS
from tcg.decode.intel import Row
from tests.frontends.x86 import case
from tests.frontends.x86.batch import Filler
from tests.frontends.x86.engines import engine_of
from tests.frontends.x86.fuzz import Fuzzer, is_on_host
from tests.frontends.x86.host import Host, is_usable
from tests.frontends.x86.sequences import Programs
from tests.frontends.x86.trial import WINDOW, Trial, compared, family_of

pytestmark = pytest.mark.skipif(not is_usable(), reason="the host is no x86-64 Linux with AVX")

LEFT_OUT = ("xsave", "xrstor", "mxcsr", "maskmov", "gather", "rcp", "rsqrt", "ucomis")
"""Parts of names: what addresses memory by other registers, changes all, is an estimate, or is not
done in a region if nobody reads the flags.
"""
ALIGNED = ("movaps", "movapd", "movdqa", "movnt")


def suits(row: Row) -> bool:
    """The row is a vector instruction that stays within the line and the window."""
    return (
        family_of(row) in ("sse", "avx")
        and is_on_host(row)
        and not any(part in row.name for part in (*LEFT_OUT, *ALIGNED))
    )


class VectorPrograms(Programs):
    """Programs of vector instructions.  SSE's have no memory operands: these have to be aligned."""

    def __init__(self, fuzzer: Fuzzer) -> None:
        super().__init__(fuzzer)
        self.rows = [(i, row) for i, row in enumerate(fuzzer.table.rows) if suits(row)]

    def _is_tame(self, row: Row, code: bytes, pc: int) -> bool:
        decoded = self.fuzzer.decode(code, 0, pc)
        assert decoded is not None
        fields = dict(zip(FIELDS, decoded.fields, strict=True))
        if fields["rm"] < 0 and not row.vector_length:
            return False
        return super()._is_tame(row, code, pc)

    def trial(self, code: bytes) -> Trial:
        """The trial of a program, with vector registers and all exceptions masked."""
        made = super().trial(code)
        kind = self.random.choice(("singles", "doubles", "words", "vector"))
        fillers = (
            *made.fillers,
            Filler(case.XMM, kind, 16, 16, share=16),
            Filler(case.YMMH, kind, 16, 16, share=16),
        )
        mask = compared(self.mode, True, WINDOW)
        return dataclasses.replace(made, vectors=True, mask=mask, fillers=fillers)


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    made = Host()
    yield made
    made.close()


@pytest.mark.parametrize("engine", ["threaded", "jit"])
def test_vector_sequences(engine: str, host: Host) -> None:
    check(engine, host, seed=1, programs=8)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["threaded", "jit"])
def test_many_vector_sequences(engine: str, host: Host) -> None:
    check(engine, host, seed=2, programs=2000)


def check(engine: str, host: Host, seed: int, programs: int) -> None:
    fuzzer = Fuzzer(engine_of(engine, 64), host, seed)
    made = VectorPrograms(fuzzer)
    if fuzzer.ours.jit:
        fuzzer.ours.engine.set_exact(False)  # as programs run mostly
    for _ in range(programs):
        fuzzer.compare([made.trial(made.program())], 20)
    assert sum(fuzzer.report.cases.values())
    assert not fuzzer.report.different, str(fuzzer.report)
