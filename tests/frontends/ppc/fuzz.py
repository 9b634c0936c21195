"""Random PowerPC code on one of our engines and on unicorn's processor, compared.

    python -m tests.frontends.ppc.fuzz --engine jit --instructions 1000000 --seed 1

Straight-line sequences run in one go from random registers and memory.  Where the results differ,
the first instruction that differs is found by halving.  A difference that `explain` knows is
counted and the sequence goes on behind it; any other is reported with all that repeats it.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from frontends.ppc.frontend import PpcFrontend
from tests.frontends.ppc import generate
from tests.frontends.ppc.explained import explain
from tests.frontends.ppc.machines import (
    CODE,
    DATA,
    DATA_SIZE,
    ENGINES,
    SC,
    Machine,
    State,
    UnicornMachine,
)

NOP = generate.NOP
STOP = SC.to_bytes(4, "big")
SEQUENCE = 48


@dataclass(frozen=True)
class Outcome:
    """What is left after a run."""

    registers: State
    ended: str
    memory: bytes


@dataclass
class Report:
    """What a run of the fuzzer found."""

    instructions: int = 0
    explained: Counter[str] = field(default_factory=Counter)
    unexplained: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"{self.instructions} instructions"]
        lines += [f"  {count} explained: {reason}" for reason, count in self.explained.items()]
        lines += [f"{len(self.unexplained)} unexplained", *self.unexplained]
        return "\n".join(lines)


class Fuzzer:
    """Compares two machines.  Everything follows from the seed."""

    def __init__(self, ours: Machine, theirs: Machine, seed: int) -> None:
        self.ours = ours
        self.theirs = theirs
        self.seed = seed
        self.random = Random(seed)
        self.frontend = PpcFrontend()
        self.generator = generate.Generator(self.frontend.table, self.random)
        self.report = Report()
        self._code = b""

    def run(self, instructions: int, length: int = SEQUENCE, repeats: int = 1) -> Report:
        """Run about so many instructions, each sequence from `repeats` states."""
        while self.report.instructions < instructions:
            memory = generate.data(self.random)
            code = self.generator.sequence(length)
            for _ in range(repeats):
                self.compare(code, generate.state(self.random), memory)
                self.report.instructions += len(code) // 4
        return self.report

    def each_row(self, count: int) -> Report:
        """Run so many single instructions of each row."""
        memory = generate.data(self.random)
        for row in self.generator.rows:
            for _ in range(count):
                code = self.generator.sequence(1, [row])
                self.compare(code, generate.state(self.random), memory)
                self.report.instructions += 1
        return self.report

    def compare(self, code: bytes, before: State, memory: bytes) -> None:
        """Run a sequence on both; find out about differences."""
        while code:
            ours, theirs = self._both(code, before, memory)
            if ours == theirs:
                return
            at = self._first_difference(code, before, memory)
            start, start_memory = before, memory
            if at:
                reached, _ = self._both(code[: 4 * at] + NOP, before, memory)
                start, start_memory = reached.registers, reached.memory
            ours, theirs = self._both(code[4 * at : 4 * at + 4] + NOP, start, start_memory)
            if ours == theirs:
                self._only_together(code[: 4 * at + 4] + NOP, before, memory)
                return
            self._judge(code[4 * at : 4 * at + 4], start, ours, theirs)
            if _is_branch(code[4 * at :]):
                return
            code, before, memory = code[4 * at + 4 :], ours.registers, ours.memory

    def _only_together(self, code: bytes, before: State, memory: bytes) -> None:
        """Instructions that are right one by one, but not in this sequence."""
        ours, theirs = self._both(code, before, memory)
        listed = []
        for at in range(0, len(code), 4):
            decoded = self.frontend.decode(code, at, CODE + at)
            assert decoded is not None
            text = self.frontend.disassemble(decoded, CODE + at)
            listed.append(f"  {code[at : at + 4].hex()} {text}")
        sequence = "\n".join(listed)
        self.report.unexplained.append(
            f"seed {self.seed}: this sequence\n{sequence}\n{describe(before, ours, theirs)}"
        )

    def _both(self, code: bytes, before: State, memory: bytes) -> tuple[Outcome, Outcome]:
        if code != self._code:
            self._code = code
            for machine in (self.ours, self.theirs):
                machine.write(CODE, code + STOP)
        ours, theirs = (run(m, code, before, memory) for m in (self.ours, self.theirs))
        return ours, theirs

    def _first_difference(self, code: bytes, before: State, memory: bytes) -> int:
        """The number of the first instruction whose result differs.

        A `nop` behind each part is there for a branch at its end to skip.
        """
        equal, different = 0, len(code) // 4
        while different - equal > 1:
            middle = (equal + different) // 2
            ours, theirs = self._both(code[: 4 * middle] + NOP, before, memory)
            if ours == theirs:
                equal = middle
            else:
                different = middle
        return equal

    def _judge(self, code: bytes, before: State, ours: Outcome, theirs: Outcome) -> None:
        decoded = self.frontend.decode(code, 0, CODE)
        assert decoded is not None
        name = self.frontend.row_name(decoded.row)
        fields = dict(zip(self.frontend.field_names(decoded.row), decoded.fields, strict=True))
        same_memory = ours.memory == theirs.memory
        if same_memory and ours.ended == theirs.ended:
            reasons = explain(name, fields, before, ours.registers, theirs.registers)
            self.report.explained.update(reasons)
            if reasons:
                return
        text = self.frontend.disassemble(decoded, CODE)
        self.report.unexplained.append(
            f"seed {self.seed}: {code[:4].hex()} {text}\n{describe(before, ours, theirs)}"
        )


def run(machine: Machine, code: bytes, before: State, memory: bytes) -> Outcome:
    """Run a sequence that is already there."""
    machine.write(DATA, memory)
    registers, ended = machine.run(before, len(code))
    return Outcome(registers, ended, machine.read(DATA, DATA_SIZE))


def describe(before: State, ours: Outcome, theirs: Outcome) -> str:
    """The registers that differ, and all that were set before."""
    lines = [f"  ended {ours.ended!r}, theirs {theirs.ended!r}"]
    if ours.memory != theirs.memory:
        lines.append("  memory differs")
    for name, value in ours.registers.items():
        other = theirs.registers[name]
        if value != other:
            was = before.get(name, 0)
            lines.append(f"  {name}: {was:#x} became {value:#x}, theirs {other:#x}")
    lines.append("  before: " + " ".join(f"{k}={v:#x}" for k, v in before.items() if v))
    return "\n".join(lines)


def _is_branch(code: bytes) -> bool:
    return code[0] >> 2 in (16, 18, 19)


def fuzz(make: Callable[[], Machine], instructions: int, seed: int, repeats: int = 1) -> Report:
    """One run of the fuzzer."""
    return Fuzzer(make(), UnicornMachine(), seed).run(instructions, repeats=repeats)


def main() -> None:
    """Command line; exit status 1 when something is not explained."""
    parser = argparse.ArgumentParser(description="random PowerPC code, compared with unicorn")
    parser.add_argument("--engine", choices=ENGINES, default="interp")
    parser.add_argument("--instructions", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=1)
    options = parser.parse_args()
    report = fuzz(ENGINES[options.engine], options.instructions, options.seed, options.repeats)
    print(report)
    raise SystemExit(bool(report.unexplained))


if __name__ == "__main__":
    main()
