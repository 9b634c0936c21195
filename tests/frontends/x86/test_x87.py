"""x87 on our engines against the host's own processor, from random states."""

from __future__ import annotations

import platform
from functools import cache
from random import Random

import pytest

from frontends.x86.table import x86_table
from tests.frontends.x86.x87 import (
    Fpu,
    Machine,
    Outcome,
    encodings,
    mmx_encodings,
    on_host,
    random_float,
    random_fpu,
    random_memory,
    random_sequence,
)

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="needs an x86 as witness")

C1 = 1 << 9
DENORMAL = 1 << 1
"""An operand in memory is converted, and found denormal, before the operation is found invalid."""
INVALID, STACK_FAULT = 1 << 0, 1 << 6
OUT_OF_RANGE = 1 << 3 | 1 << 4
PENDING = 1 << 7 | 1 << 15
FLAGS = 0x8D5
"""OF SF ZF AF PF CF"""

APPROXIMATE = {
    "f2xm1", "fyl2x", "fyl2xp1", "fpatan", "fsin", "fcos", "fsincos", "fptan",
}  # fmt: skip
"""Functions that the evaluator computes itself: one unit in the last place is allowed there."""

TELLS_C1 = {"fprem", "fprem1", "fxam"}
"""Instructions whose C1 means something.  Others set it if they rounded up, which we do not."""

TRIALS = 6
ENGINES = ["interp", "threaded", pytest.param("jit", marks=pytest.mark.slow)]


MODES = {"interp": 64, "threaded": 64, "jit": 32}
"""There is room for the memory of one 64-bit guest at a time."""


@cache
def machine(engine: str) -> Machine:
    made = Machine(engine, MODES[engine])
    made.prepare([*encodings(), *mmx_encodings()])
    return made


def name_of(code: bytes) -> str:
    decoded = x86_table().decoder(64)(code + bytes(13), 0, 0)
    assert decoded is not None
    return x86_table().rows[decoded.row].name


def linear(x: int) -> int:
    """A float as a number that counts units in the last place."""
    value = (x >> 64 & 0x7FFF) << 63 | x & (1 << 63) - 1
    return -value if x >> 79 else value


def differences(
    name: str, host: Outcome, ours: Outcome, slack: int, compared: int = 0
) -> list[str]:
    """What is not the same, but for what neither a manual nor a program cares for."""
    found = []
    ignored = PENDING & ~compared
    if name not in TELLS_C1 and not host.fpu.status & STACK_FAULT:
        ignored |= C1
    if host.fpu.status & INVALID:
        ignored |= DENORMAL
    status = (host.fpu.status ^ ours.fpu.status) & ~ignored
    if status:
        found.append(f"status {host.fpu.status:#06x}, ours {ours.fpu.status:#06x}")
    if host.fpu.control != ours.fpu.control:
        found.append(f"control {host.fpu.control:#x}, ours {ours.fpu.control:#x}")
    if host.fpu.full != ours.fpu.full:
        found.append(f"full {host.fpu.full:#x}, ours {ours.fpu.full:#x}")
    for i, (theirs, mine) in enumerate(zip(host.fpu.stack, ours.fpu.stack, strict=True)):
        if host.fpu.is_full(i) and abs(linear(theirs) - linear(mine)) > slack:
            found.append(f"st{i} {theirs:#x}, ours {mine:#x}")
    if name.startswith(("fcomi", "fucomi")) and (host.flags ^ ours.flags) & FLAGS:
        found.append(f"flags {host.flags & FLAGS:#x}, ours {ours.flags & FLAGS:#x}")
    if name == "fnstsw" and (host.rax ^ ours.rax) & ~ignored:
        found.append(f"rax {host.rax:#x}, ours {ours.rax:#x}")
    if host.memory != ours.memory and name not in ("fnstsw", "fnstenv", "fnsave"):
        found.append(f"memory {host.memory[:16].hex()}, ours {ours.memory[:16].hex()}")
    return found


def explain(fpu: Fpu, memory: bytes) -> str:
    stack = " ".join(f"{value:#x}" for value in fpu.stack)
    return (
        f"control {fpu.control:#x} status {fpu.status:#x} full {fpu.full:#x} {stack} "
        f"memory {memory[:16].hex()}"
    )


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("code", encodings(), ids=lambda code: f"{name_of(code)}-{code.hex()}")
def test_like_the_host(engine: str, code: bytes) -> None:
    name = name_of(code)
    random = Random(int.from_bytes(code, "big"))
    slack = 1 if engine == "interp" and name in APPROXIMATE else 0
    for _ in range(TRIALS):
        fpu, memory = random_fpu(random, masked=True), random_memory(random)
        host = on_host(code, fpu, memory)
        ours, left = machine(engine).run(code, fpu, memory)
        assert left.kind == "syscall"
        assert not differences(name, host, ours, slack), explain(fpu, memory)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("code", encodings(), ids=lambda code: f"{name_of(code)}-{code.hex()}")
def test_unmasked(engine: str, code: bytes) -> None:
    """An exception that is not masked keeps the result from being stored, and is pending then.

    Results that are too large or too small should come scaled, which they do not.
    """
    name = name_of(code)
    random = Random(int.from_bytes(code, "big"))
    slack = 1 if engine == "interp" and name in APPROXIMATE else 0
    for _ in range(TRIALS):
        fpu, memory = random_fpu(random, masked=False), random_memory(random)
        host = on_host(code, fpu, memory)
        if host.fpu.status & ~host.fpu.control & OUT_OF_RANGE:
            continue
        ours, left = machine(engine).run(code, fpu, memory)
        assert left.kind == "syscall"
        assert not differences(name, host, ours, slack, PENDING), explain(fpu, memory)


@pytest.mark.parametrize("engine", ["threaded", "jit"])
@pytest.mark.parametrize("seed", range(6))
def test_sequences(engine: str, seed: int) -> None:
    """In a region, registers are locals; what the stack was is known or taken for granted.

    A comparison whose outcome nobody asks for is not made, and finds no operand denormal.
    """
    random = Random(seed)
    for _ in range(3):
        depth = random.randrange(9)
        top = -depth & 7
        full = sum(1 << (top + i & 7) for i in range(depth))
        control = random.getrandbits(2) << 10 | random.choice((0, 2, 3)) << 8 | 0x7F
        stack = [random_float(random) for _ in range(8)]
        code = random_sequence(random, depth, random.randrange(1, 24))
        memory = b"".join(random_float(random).to_bytes(16, "little") for _ in range(8))
        for moved in (top, 0, top):
            turned = Fpu(control, moved << 11, _turn(full, moved - top), stack)
            host = on_host(code, turned, memory)
            ours, left = machine(engine).run(code, turned, memory)
            assert left.kind == "syscall"
            ours.fpu.status |= host.fpu.status & DENORMAL
            assert not differences("", host, ours, 0), f"{code.hex()} {explain(turned, memory)}"


def _turn(full: int, by: int) -> int:
    """Eight bits, rotated."""
    by &= 7
    return (full << by | full >> 8 - by) & 0xFF


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("code", mmx_encodings(), ids=lambda code: f"{name_of(code)}-{code.hex()}")
def test_mmx(engine: str, code: bytes) -> None:
    random = Random(int.from_bytes(code, "big"))
    for _ in range(TRIALS):
        stack = [random.getrandbits(80) for _ in range(8)]
        fpu = Fpu(0x37F, random.getrandbits(3) << 11, random.getrandbits(8), stack)
        memory = random.randbytes(128)
        host = on_host(code, fpu, memory)
        ours, left = machine(engine).run(code, fpu, memory)
        assert left.kind == "syscall"
        assert not differences("", host, ours, 0), explain(fpu, memory)
        assert (host.fpu.stack, host.rax) == (ours.fpu.stack, ours.rax)
