"""The string comparisons of SSE4.2: SDM vol. 2, 4.1, Imm8 Control Byte Operation."""

from __future__ import annotations

from tcg.types import I32, V8I16, V16I8, V128, Type

RESULTS: dict[str, Type] = {"i": I32, "m": V128, "a": I32, "c": I32, "o": I32, "s": I32, "z": I32}
"""What may be asked for: index, mask, and the flags: CF = 0 and ZF = 0, CF, OF, SF, ZF."""


def explicit(what: str, imm: int, a: int, la: int, b: int, lb: int) -> int:
    """PCMPESTRI and PCMPESTRM: the lengths are given, and count by their magnitude."""
    count = _kind(imm).lanes
    lengths = (min(abs(I32.signed(n)), count) for n in (la, lb))
    return _answer(what, imm, a, b, *lengths)


def implicit(what: str, imm: int, a: int, b: int) -> int:
    """PCMPISTRI and PCMPISTRM: strings end in front of a zero."""
    kind = _kind(imm)
    lengths = ((*kind.split(x), 0).index(0) for x in (a, b))
    return _answer(what, imm, a, b, *lengths)


def _kind(imm: int) -> Type:
    return V8I16 if imm & 1 else V16I8


def _elements(imm: int, x: int) -> list[int]:
    kind = _kind(imm)
    assert kind.lane is not None
    return [kind.lane.signed(one) if imm & 2 else one for one in kind.split(x)]


def _answer(what: str, imm: int, a: int, b: int, la: int, lb: int) -> int:
    kind = _kind(imm)
    count = kind.lanes
    found = _aggregated(imm, _elements(imm, a), _elements(imm, b), la, lb, count)
    found ^= _polarity(imm, lb, count)
    match what:
        case "i":
            if not found:
                return count
            return found.bit_length() - 1 if imm & 64 else (found & -found).bit_length() - 1
        case "m":
            if not imm & 64:
                return found
            assert kind.lane is not None
            return kind.join(kind.lane.mask * (found >> i & 1) for i in range(count))
        case "c":
            return int(found != 0)
        case "z":
            return int(lb < count)
        case "s":
            return int(la < count)
        case "o":
            return found & 1
    return int(not found and lb >= count)


def _polarity(imm: int, lb: int, count: int) -> int:
    """What the result is inverted by: nothing, everything, or what is within the second string."""
    match imm >> 4 & 3:
        case 1:
            return (1 << count) - 1
        case 3:
            return (1 << lb) - 1
    return 0


def _aggregated(imm: int, a: list[int], b: list[int], la: int, lb: int, count: int) -> int:
    """A bit for each element of the second string, before the polarity."""
    match imm >> 2 & 3:
        case 0:
            holds = [j < lb and b[j] in a[:la] for j in range(count)]
        case 1:
            limits = list(zip(a[: la & ~1 : 2], a[1 : la & ~1 : 2], strict=True))
            holds = [
                j < lb and any(low <= b[j] <= high for low, high in limits) for j in range(count)
            ]
        case 2:
            holds = [
                a[j] == b[j] if j < la and j < lb else j >= la and j >= lb for j in range(count)
            ]
        case _:
            holds = [_stands_at(a, b, la, lb, j, count) for j in range(count)]
    return sum(held << j for j, held in enumerate(holds))


def _stands_at(a: list[int], b: list[int], la: int, lb: int, j: int, count: int) -> bool:
    """The first string, as far as the register goes, is in the second one from j."""
    return all(j + i < lb and b[j + i] == a[i] for i in range(min(la, count - j)))
