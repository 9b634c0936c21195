"""Reading guest code: what lies from an address to the end of its page, and a little more.

A block ends with its page at the latest, as what lies behind may be anything.  Where instructions
vary in length, the last one may reach over the end.  The rest of its bytes is fetched only when the
decoder cannot do without: an instruction that ends where the page does must not fault for the next.
"""

from __future__ import annotations

from collections.abc import Callable

from tcg.faults import GuestFault
from tcg.frontend import Decoded, Frontend

PAGE = 4096


def leaves_page(pc: int, target: int, base: int) -> bool:
    """Whether a way leads into another page; `base`: where pc 0 is, as pages see it."""
    return (pc + base) // PAGE != (target + base) // PAGE


Fetch = Callable[[int, int], bytes]
"""(address, length): instruction bytes, at least one; raises GuestFault."""


class CodeReader:
    """Guest code from `pc` on.  `bytes` is what has been fetched of it so far."""

    __slots__ = ("_base", "_decode", "_fetch", "_max_size", "_watch", "bytes", "page_size", "pc")

    def __init__(
        self,
        frontend: Frontend,
        fetch: Fetch,
        pc: int,
        watch: Callable[[int], None] | None = None,
        base: int = 0,
    ) -> None:
        """`watch` is told an address of every page before it is read; raises GuestFault.

        `base`: where pc 0 is, as pages see it.
        """
        self._base = base
        self._decode = frontend.decode
        self._max_size = frontend.max_size
        self._fetch = fetch
        self._watch = watch
        self.pc = pc
        self.bytes = self._read(pc, PAGE - (pc + base) % PAGE)
        self.page_size = len(self.bytes)

    def _read(self, address: int, length: int) -> bytes:
        if self._watch is not None:
            self._fetch(address, 1)
            self._watch(address)
        return self._fetch(address, length)

    def decode(self, at: int) -> Decoded | None:
        """The instruction at offset `at` in this page; None if none starts there.

        Raises GuestFault, with the address of the byte that is missing, if a part of it is in a
        page that cannot be read.
        """
        code = self.bytes
        if at >= self.page_size:
            return None
        one = self._decode(code, at, self.pc + at)
        if (
            one is None
            and at + self._max_size > len(code)
            and (self._base + self.pc + len(code)) % PAGE == 0
        ):
            try:
                self.bytes += self._read(self.pc + len(code), self._max_size - 1)
            except GuestFault as fault:
                fault.pc = self.pc + at
                raise
            one = self._decode(self.bytes, at, self.pc + at)
        return one
