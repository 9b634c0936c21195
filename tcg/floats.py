"""Reference meanings of the float operations, on bit patterns, in the host's FP environment."""
from __future__ import annotations
from tcg.types import Type
def add(t: Type, d: Type, x: int, y: int) -> int: raise NotImplementedError
sub = mul = div = fma = sqrt = neg = abs_ = eq = lt = le = unordered = convert = add
to_signed_truncating = to_unsigned_truncating = round_to_integral = from_signed = from_unsigned = add
