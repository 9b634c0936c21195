"""The table that the rows of tcg/simd are in, and how twins for AVX registers come about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tcg.types import V128, V256, Type

Meaning = Callable[..., int]
"""Takes the immediate, the operands and, if the row raises, the FP environment."""


@dataclass(frozen=True, slots=True, eq=False)
class Simd:
    """One row: `raises` says that it may set sticky flags of the FP environment."""

    name: str
    result: Type
    operands: tuple[Type, ...]
    meaning: Meaning
    raises: bool = False

    def __repr__(self) -> str:
        return self.name


SIMD: dict[str, Simd] = {}
"""All rows by name."""


def row(
    name: str,
    result: Type,
    operands: tuple[Type, ...],
    meaning: Meaning,
    *,
    raises: bool = False,
    twin: bool = False,
) -> None:
    """Declare a row; `twin`: there is one for AVX registers, which does each half by itself."""
    SIMD[name] = Simd(name, result, operands, meaning, raises)
    if twin:
        wide = tuple(V256 if t is V128 else t for t in operands)
        SIMD[f"{name}_256"] = Simd(f"{name}_256", V256, wide, _each_half(meaning, wide), raises)


def _each_half(meaning: Meaning, operands: tuple[Type, ...]) -> Meaning:
    halved = [type_ is V256 for type_ in operands]

    def both(imm: int, *values: Any) -> int:
        given, rest = values[: len(halved)], values[len(halved) :]
        result = 0
        for at in (0, 128):
            half = [
                value >> at & V128.mask if is_wide else value
                for value, is_wide in zip(given, halved, strict=True)
            ]
            result |= meaning(imm, *half, *rest) << at
        return result

    return both
