"""Random straight-line programs: flags and registers that live from one instruction to the next.

    python -m tests.frontends.x86.sequences --engine jit --mode 64 --programs 500

Instructions of the integer core in a row, some of them jumped over by a condition, so that flags
are read far from where they were set, or not at all.  RSI and RDI point into the window and are
left alone, and so is RSP.  `self_modifying` makes programs that write what they run next.
"""

from __future__ import annotations

import argparse
from random import Random

from frontends.x86.fields import FIELDS
from tcg.decode.intel import Row
from tests.frontends.x86 import case
from tests.frontends.x86.batch import Filler
from tests.frontends.x86.encode import Encoder, has_memory
from tests.frontends.x86.engines import ENGINES
from tests.frontends.x86.fuzz import Fuzzer, is_on_host
from tests.frontends.x86.host import Host
from tests.frontends.x86.trial import (
    BEHIND,
    DI,
    FAR,
    LEFT_OUT,
    SI,
    SLOT,
    SP,
    STACK,
    STRINGS,
    UNDEFINED,
    WINDOW,
    Trial,
    compared,
    family_of,
    gpr,
)

KEPT = (SP, SI, DI)
LONGEST = FAR - BEHIND - 4
MIDDLE = 96

# fmt: off
NOT_IN_LINE = frozenset((
    *LEFT_OUT, *STACK, *STRINGS, *UNDEFINED, "jcc", "jmp", "jcxz", "loop", "loope", "loopne",
    "div", "idiv", "ud1", "ud2", "int3", "into", "bound", "xlatb", "aam", "cmpxchg8b",
    "bt", "bts", "btr", "btc", "arpl", "wrfsbase", "wrgsbase",
))
# fmt: on
"""Functions of rows that leave the line, fault, or address memory by other registers."""
SELECTORS = ("ES", "CS", "SS", "DS", "FS", "GS", "Sw")


class Programs:
    """Makes programs for a fuzzer's engine."""

    def __init__(self, fuzzer: Fuzzer) -> None:
        self.fuzzer = fuzzer
        self.mode = fuzzer.mode
        self.random = Random(fuzzer.seed)
        place = fuzzer.place
        self.encoder = Encoder(self.mode, self.random, fuzzer.decode, place.data + 0x800 + MIDDLE)
        self.rows = [
            (index, row)
            for index, row in enumerate(fuzzer.table.rows)
            if family_of(row) in ("base", "integer")
            and row.function not in NOT_IN_LINE
            and is_on_host(row)
            and "cpu:" not in row.encoding
            and not any(o.text in SELECTORS or o.letter in ("C", "D") for o in row.operands)
        ]

    def instruction(self, pc: int) -> bytes:
        """One instruction at `pc` that keeps to the rules."""
        while True:
            index, row = self.random.choice(self.rows)
            code = self.encoder.instruction(index, row, pc, tries=8)
            if code is not None and self._is_tame(row, code, pc):
                return code

    def _is_tame(self, row: Row, code: bytes, pc: int) -> bool:
        decoded = self.fuzzer.decode(code, 0, pc)
        assert decoded is not None
        fields = dict(zip(FIELDS, decoded.fields, strict=True))
        letters = {o.letter for o in row.operands}
        written = {fields["reg"]} if letters & set("GB") else set()
        if fields["rm"] >= 0:
            written.add(fields["rm"])
        if "B" in letters:
            written.add(fields["vvvv"])
        if written & set(KEPT):
            return False
        if "M" in letters and row.function == "lea":
            return True
        if "O" in letters:
            return not fields["segment"]
        if not has_memory(row, fields):
            return True
        none = 16 if self.mode == 64 else 8
        wide = 8 if self.mode == 64 else 4
        return (
            fields["base"] in (SI, DI) and fields["index"] == none and abs(fields["disp"]) < 80
            and fields["addrsize"] == wide and not fields["segment"]
        )  # fmt: skip

    def program(self) -> bytes:
        """Instructions in a row, some jumped over."""
        code = b""
        pc = self.fuzzer.place.code + BEHIND
        while True:
            one = self.instruction(pc + len(code))
            if self.random.randrange(3) == 0:
                condition = bytes([0x70 | self.random.getrandbits(4), len(one)])
                one = condition + self.instruction_of(len(one), pc + len(code) + 2) or one
            if len(code) + len(one) > LONGEST:
                return code or one[:0]
            code += one

    def instruction_of(self, size: int, pc: int) -> bytes:
        """An instruction of that length, at another address than first thought."""
        for _ in range(200):
            code = self.instruction(pc)
            if len(code) == size:
                return code
        return b"\x90" * size

    def trial(self, code: bytes) -> Trial:
        """The trial of a program."""
        fuzzer, place = self.fuzzer, self.fuzzer.place
        pc = fuzzer._pc()
        window_at = place.data + 0x800
        middle = window_at + MIDDLE
        fillers = (
            Filler(gpr(0), "integer", 16, share=32),
            Filler(case.RFLAGS, "flags"),
            Filler(case.WINDOW, "integer", WINDOW // 8, 8),
            *(Filler(gpr(number), "spread", add=middle) for number in KEPT),
        )
        row = next(row for row in fuzzer.table.rows if row.function == "nop")
        decoded = fuzzer.decode(b"\x90", 0, pc)
        assert decoded is not None
        return Trial(
            self.mode, decoded.row, row, code, pc, dict(zip(FIELDS, decoded.fields, strict=True)),
            (pc + len(code),), window_at, WINDOW, False, bytes(case.new_case(WINDOW)),
            compared(self.mode, False, WINDOW), fillers,
        )  # fmt: skip

    def self_modifying(self) -> bytes:
        """A program that writes CL into the immediate of one of its next instructions.

        mov byte [immediate], cl;  ...;  mov al, immediate;  jumps in between, now and then
        """
        between = b"".join(
            self.random.choice((b"\x90", b"\xf8", b"\x40\x90", b"\xeb\x00", b"\x0f\x1f\x00"))
            for _ in range(self.random.randrange(4))
        )
        if self.mode != 64:
            between = between.replace(b"\x40\x90", b"\x90")
        tail = self.random.choice((b"\xb0\x11", b"\x04\x11", b"\x2c\x11", b"\x34\x11"))
        size = 6
        at = self.fuzzer.place.code + self.fuzzer._next % self._slots() * SLOT + BEHIND
        target = at + size + len(between) + 1
        if self.mode == 64:
            store = b"\x88\x0d" + (target - at - size).to_bytes(4, "little", signed=True)
        else:
            store = b"\x88\x0d" + target.to_bytes(4, "little")
        return store + between + tail

    def _slots(self) -> int:
        return self.fuzzer.place.code_size // SLOT


def run(fuzzer: Fuzzer, programs: int, repeats: int, modifying: bool = False) -> None:
    """Compare so many programs; the fuzzer's report says the rest."""
    made = Programs(fuzzer)
    if fuzzer.ours.jit:
        fuzzer.ours.engine.set_exact(False)  # as programs run mostly
    for _ in range(programs):
        code = made.self_modifying() if modifying else made.program()
        if code:
            fuzzer.compare([made.trial(code)], repeats)


def main() -> None:
    """Command line; exit status 1 when something differs."""
    parser = argparse.ArgumentParser(description="random x86 programs, compared with the host")
    parser.add_argument("--engine", choices=ENGINES, default="jit")
    parser.add_argument("--mode", type=int, choices=(64, 32), default=64)
    parser.add_argument("--programs", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--modifying", action="store_true")
    options = parser.parse_args()
    host = Host()
    fuzzer = Fuzzer(ENGINES[options.engine](options.mode), host, options.seed)
    if options.modifying:
        fuzzer.ours.memory.let_code_change()
    run(fuzzer, options.programs, options.repeats, options.modifying)
    host.close()
    print(fuzzer.report)
    raise SystemExit(bool(fuzzer.report.different))


if __name__ == "__main__":
    main()
