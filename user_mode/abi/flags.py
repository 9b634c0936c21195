"""Flag words that mean the same in two ABIs with other bits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


class Flags:
    """A word of flags (or of fields with named values), between a guest's ABI and the host's.

    Bits that neither table names go through unchanged.  Results are remembered: a program uses few
    different words.
    """

    def __init__(
        self,
        guest: Mapping[str, int],
        host: Mapping[str, int],
        fields: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """`fields` names the masks that hold one of several values, with the values' names."""
        self.guest = guest
        inside = {name for names in (fields or {}).values() for name in names}
        plain = [name for name in guest if name in host and name not in inside]
        self._flags = [(guest[n], host[n]) for n in plain if n not in (fields or {})]
        self._fields = [
            (guest[mask], host[mask], [(guest[name], host[name]) for name in names])
            for mask, names in (fields or {}).items()
            if mask in guest
        ]
        self._to_host: dict[int, int] = {}
        self._to_guest: dict[int, int] = {}

    def to_host(self, word: int) -> int:
        """The host's word for a guest's."""
        known = self._to_host.get(word)
        if known is None:
            fields = [(g, h, dict(values)) for g, h, values in self._fields]
            known = self._to_host[word] = _translate(word, self._flags, fields)
        return known

    def to_guest(self, word: int) -> int:
        """The guest's word for a host's."""
        known = self._to_guest.get(word)
        if known is None:
            flags = [(h, g) for g, h in self._flags]
            fields = [(h, g, {b: a for a, b in values}) for g, h, values in self._fields]
            known = self._to_guest[word] = _translate(word, flags, fields)
        return known


def _translate(
    word: int, flags: list[tuple[int, int]], fields: list[tuple[int, int, dict[int, int]]]
) -> int:
    result = 0
    rest = word
    for mask, _, values in fields:
        result |= values.get(word & mask, 0)
        rest &= ~mask
    for source, target in flags:
        if word & source == source:
            result |= target
        rest &= ~source
    taken = 0
    for _, target in flags:
        taken |= target
    return result | (rest & ~taken)
