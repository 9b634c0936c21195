"""The page walk as IR: from a linear address to a physical one (SDM vol. 3, chapter 4).

One function serves all paging modes, which CR0, CR4 and EFER tell apart when it runs: none, 32-bit
with 4 MiB pages (PSE, PSE-36), PAE, and 4-level with pages of 2 MiB and 1 GiB.  It reads
`walk_linear` and `walk_access` and answers in the other walk_* fields of the header:

    walk_access     0 read, 1 write, 2 fetch; 4: by a program (CPL 3); 8: EFLAGS.AC counts (SMAP)
    walk_physical   the address, A20 gate applied
    walk_rights     1 read, 2 write (and the dirty flag is set already), 4 fetch, 8 global, 16 user
    walk_size       log2 of the page's size
    walk_fault      0, or the error code of #PF and bit 31; bit 30: the address is not canonical

What is simplified: the four page-directory-pointers of PAE are read from memory at each walk, and
not when CR3 is loaded, and what is wrong with them is a page fault with RSVD then.  Physical
addresses have 40 bits.  Pages of 1 GiB are there whatever CPUID says.  Protection keys, CR4.PCIDE
and 5-level paging are not there.

An entry is marked as accessed if the access is allowed.  With PAE and in long mode, as in QEMU, one
that leads to another table is marked when it is used, be there a fault later or not; with 32-bit
paging it is not, as on a 386 (test386.asm looks).
"""

from __future__ import annotations

from dataclasses import dataclass

from frontends.x86.context import X86
from frontends.x86.system_state import (
    CR0_PG,
    CR0_WP,
    CR4_PAE,
    CR4_PGE,
    CR4_PSE,
    CR4_SMAP,
    CR4_SMEP,
    EFER_LMA,
    EFER_NXE,
    SystemState,
)
from tcg import ops
from tcg.ir import LOCAL_OFFSET, Function, Value
from tcg.state import HEADER, Slot
from tcg.system import (
    AC,
    CAN_FETCH,
    CAN_READ,
    CAN_WRITE,
    FETCH,
    IS_GLOBAL,
    IS_USER,
    USER,
    WRITE,
)
from tcg.types import I1, I32, I64, VOID

PRESENT, READ_WRITE, USER_PAGE = 1, 2, 4
ACCESSED, DIRTY, LARGE, GLOBAL = (1 << n for n in (5, 6, 7, 8))
NX = 1 << 63

ADDRESS_BITS = 40
ADDRESS_MASK = (1 << ADDRESS_BITS) - 1
TABLE_MASK = ADDRESS_MASK & ~0xFFF

TOO_HIGH_LONG = (1 << 52) - (1 << ADDRESS_BITS)
"""Address bits that no memory has, in entries of 4-level paging."""
TOO_HIGH_PAE = (1 << 63) - (1 << ADDRESS_BITS)
"""The same of PAE, where bits 52 to 62 are reserved too (SDM vol. 3, table 4-8)."""
RESERVED_PDPTE = 0x1E6 | NX
"""Beside them, of PAE's page-directory-pointers (table 4-8)."""

FAULT = 1 << 31
NOT_CANONICAL = 1 << 30
ERROR_PROTECTION, ERROR_WRITE, ERROR_USER, ERROR_RESERVED, ERROR_FETCH = (1 << n for n in range(5))


def build_walk(state: SystemState) -> Function:
    """The walk for states of this layout."""
    function = Function("handler", f"walk_{state.width}")
    _Walk(X86(function, state, state.width)).build()
    return function


def _local(name: str) -> Slot:
    return Slot(f"walk_{name}", I64, LOCAL_OFFSET)


@dataclass(frozen=True, slots=True)
class _Leaf:
    """What the last step needs: where the page's entry is, what all entries together say.

    `both`: the and of all entries (rights), `any`: the or of them (NX), `page`: the address.
    """

    place = _local("place")
    entry = _local("entry")
    both = _local("both")
    any = _local("any")
    page = _local("page")
    size = Slot("walk_log_size", I32, LOCAL_OFFSET)
    above = _local("above")
    """The directory's entry in 32-bit paging, if there is one, and where it is."""
    above_place = _local("above_place")


class _Walk:
    """The emitting of the walk."""

    def __init__(self, c: X86) -> None:
        self.c = c
        self.restart = c.new_block("restart")
        self.finish = c.new_block("finish")

    def build(self) -> None:
        """From the entry: which kind of paging there is."""
        c = self.c
        self._put("fault", 0)
        c.br(self.restart)
        c.open(self.restart)
        self.cr0, self.cr4, self.efer = (
            c.get(c.slots[name]).trunc(I32) for name in ("cr0", "cr4", "efer")
        )
        self.a20_mask = c.get(c.slots["a20_mask"])
        self.access = c.get(HEADER["walk_access"])
        self.is_long = (self.efer & EFER_LMA).ne(0)
        c.put(_Leaf.above, 0)
        linear = c.get(HEADER["walk_linear"])
        self.linear = c.select(self.is_long, linear, linear & 0xFFFF_FFFF)
        self.root = c.get(c.slots["cr3"]).zext(I64)
        with c.when((self.cr0 & CR0_PG).eq(0)):
            self._identity()
        with c.when((self.cr4 & CR4_PAE).ne(0)):
            self._walk_wide()
        self._walk_narrow()
        c.open(self.finish)
        self._finish()

    # -- answers -----------------------------------------------------------------------------

    def _put(self, name: str, value: Value | int) -> None:
        self.c.put(HEADER[f"walk_{name}"], value)

    def _done(self) -> None:
        self.c.emit(ops.NEXT, VOID)

    def _identity(self) -> None:
        """Without paging, all is allowed."""
        self._put("physical", self.linear & self.a20_mask)
        self._put("rights", CAN_READ | CAN_WRITE | CAN_FETCH | IS_USER)
        self._put("size", 12)
        self._done()

    def _fail(self, code: int, when: Value) -> None:
        """A page fault with this error code and what the access adds (SDM vol. 3, 4.7)."""
        c = self.c
        with c.when(when, likely=False):
            word = c.const(I32, FAULT | code)
            word = word | c.select(self._is_write(), ERROR_WRITE, 0)
            word = word | c.select(self._is_user(), ERROR_USER, 0)
            has_nx = (self.cr4 & CR4_PAE).ne(0) & (self.efer & EFER_NXE).ne(0)
            says_fetch = self._is_fetch() & (has_nx | (self.cr4 & CR4_SMEP).ne(0))
            self._put("fault", word | c.select(says_fetch, ERROR_FETCH, 0))
            self._done()

    def _is_write(self) -> Value:
        return (self.access & (WRITE | FETCH)).eq(WRITE)

    def _is_fetch(self) -> Value:
        return (self.access & FETCH).ne(0)

    def _is_user(self) -> Value:
        return (self.access & USER).ne(0)

    # -- tables ------------------------------------------------------------------------------

    def _place(self, table: Value, shift: int, bits: int, size: int) -> Value:
        """Where the entry of a table is that the linear address selects."""
        index = self.linear >> shift & (1 << bits) - 1
        return (table + (index << size.bit_length() - 1)) & self.a20_mask

    def _mark(self, place: Value, entry: Value, marks: Value | int) -> None:
        """Set flags in an entry, whose other half needs no lock; begin again if it has changed."""
        c = self.c
        low = entry.trunc(I32)
        new = low | marks
        with c.when(new.ne(low), likely=False):
            seen = c.cas_physical(place, low, new)
            with c.when(seen.ne(low), likely=False):
                c.br(self.restart)

    def _go_to_page(
        self, place: Value, entry: Value, both: Value, any_: Value, page: Value, size: int
    ) -> None:
        """This entry is the page's."""
        c, leaf = self.c, _Leaf
        c.put(leaf.place, place)
        c.put(leaf.entry, entry)
        c.put(leaf.both, both)
        c.put(leaf.any, any_)
        offset = self.linear & (1 << size) - 1
        c.put(leaf.page, page | offset)
        c.put(leaf.size, size)
        c.br(self.finish)

    def _walk_narrow(self) -> None:
        """32-bit paging: two levels, entries of 4 bytes (SDM vol. 3, 4.3)."""
        c = self.c
        place = self._place(self.root & 0xFFFF_F000, 22, 10, 4)
        upper = c.load_physical(I32, place).zext(I64)
        self._fail(0, (upper & PRESENT).eq(0))
        is_large = (upper & LARGE).ne(0) & (self.cr4 & CR4_PSE).ne(0)
        with c.when(is_large):
            self._fail(ERROR_PROTECTION | ERROR_RESERVED, (upper & 1 << 21).ne(0))
            page = upper & 0xFFC0_0000 | (upper & 0x1F_E000) << 19
            self._go_to_page(place, upper, upper, c.const(I64, 0), page, 22)
        c.put(_Leaf.above, upper)
        c.put(_Leaf.above_place, place)
        place = self._place(upper & 0xFFFF_F000, 12, 10, 4)
        entry = c.load_physical(I32, place).zext(I64)
        self._fail(0, (entry & PRESENT).eq(0))
        self._go_to_page(place, entry, entry & upper, c.const(I64, 0), entry & 0xFFFF_F000, 12)

    def _walk_wide(self) -> None:
        """Entries of 8 bytes: PAE (4.4) and 4-level paging (4.5)."""
        c = self.c
        both, any_, table = _local("all_rights"), _local("any_rights"), _local("table")
        too_high = c.select(self.is_long, TOO_HIGH_LONG, TOO_HIGH_PAE, I64)
        no_nx = c.select((self.efer & EFER_NXE).ne(0), 0, NX, I64)
        self.reserved = too_high | no_nx
        directories = c.new_block("directories")
        pae = c.new_block("pae")
        long = c.new_block("long")
        c.cbr(self.is_long, long, pae)
        c.open(pae)
        place = self._place(self.root & 0xFFFF_FFE0, 30, 2, 8)
        entry = self._load_wide(place, TOO_HIGH_PAE | RESERVED_PDPTE)
        self._hand_on(entry, c.const(I64, READ_WRITE | USER_PAGE), c.const(I64, 0), both, any_)
        c.put(table, entry & TABLE_MASK)
        c.br(directories)
        c.open(long)
        self._walk_long(both, any_, table)
        c.br(directories)
        c.open(directories)
        self._walk_directory(c.get(table), c.get(both), c.get(any_))

    def _load_wide(self, place: Value, reserved: Value | int) -> Value:
        """An entry of 8 bytes, which is present, and right so far."""
        entry = self.c.load_physical(I64, place)
        self._fail(0, (entry & PRESENT).eq(0))
        self._fail(ERROR_PROTECTION | ERROR_RESERVED, (entry & reserved).ne(0))
        return entry

    def _hand_on(self, _: Value, both: Value, any_: Value, to_both: Slot, to_any: Slot) -> None:
        self.c.put(to_both, both)
        self.c.put(to_any, any_)

    def _walk_long(self, both: Slot, any_: Slot, table: Slot) -> None:
        """The upper two of four levels; addresses are canonical (SDM vol. 1, 3.3.7.1)."""
        c = self.c
        above = self.linear.sar(47)
        with c.when(above.ne(0) & above.ne(-1), likely=False):
            self._put("fault", NOT_CANONICAL)
            self._done()
        place = self._place(self.root & TABLE_MASK, 39, 9, 8)
        top = self._load_wide(place, self.reserved | LARGE)
        self._mark(place, top, ACCESSED)
        place = self._place(top & TABLE_MASK, 30, 9, 8)
        entry = self._load_wide(place, self.reserved)
        with c.when((entry & LARGE).ne(0)):
            self._large(place, entry, top & entry, top | entry, 30)
        self._mark(place, entry, ACCESSED)
        self._hand_on(entry, top & entry, top | entry, both, any_)
        c.put(table, entry & TABLE_MASK)

    def _large(self, place: Value, entry: Value, both: Value, any_: Value, size: int) -> None:
        """A page of 2 MiB or 1 GiB; bit 12 is PAT, those above it are reserved."""
        within = (1 << size) - (1 << 13)
        self._fail(ERROR_PROTECTION | ERROR_RESERVED, (entry & within).ne(0))
        page = entry & (ADDRESS_MASK & ~((1 << size) - 1))
        self._go_to_page(place, entry, both, any_, page, size)

    def _walk_directory(self, table: Value, both: Value, any_: Value) -> None:
        """The lower two levels, which PAE and 4-level paging have in common."""
        c = self.c
        place = self._place(table, 21, 9, 8)
        upper = self._load_wide(place, self.reserved)
        with c.when((upper & LARGE).ne(0)):
            self._large(place, upper, both & upper, any_ | upper, 21)
        self._mark(place, upper, ACCESSED)
        place = self._place(upper & TABLE_MASK, 12, 9, 8)
        entry = self._load_wide(place, self.reserved)
        both, any_ = both & upper & entry, any_ | upper | entry
        self._go_to_page(place, entry, both, any_, entry & TABLE_MASK, 12)

    # -- the page ----------------------------------------------------------------------------

    def _finish(self) -> None:
        """Access rights (SDM vol. 3, 4.6), then the flags of the page's entry."""
        c, leaf = self.c, _Leaf
        entry = c.get(leaf.entry)
        is_user_page = (c.get(leaf.both) & USER_PAGE).ne(0)
        can_read, can_write, can_fetch = self._rights(is_user_page)
        allowed = c.select(
            self._is_fetch(), can_fetch, c.select(self._is_write(), can_write, can_read)
        )
        self._fail(ERROR_PROTECTION, ~allowed)
        with c.when(c.get(leaf.above).ne(0)):
            self._mark(c.get(leaf.above_place), c.get(leaf.above), ACCESSED)
        marks = c.select(self._is_write(), ACCESSED | DIRTY, ACCESSED)
        self._mark(c.get(leaf.place), entry, marks)
        is_dirty = ((entry.trunc(I32) | marks) & DIRTY).ne(0)
        is_global = (entry.trunc(I32) & GLOBAL).ne(0) & (self.cr4 & CR4_PGE).ne(0)
        rights = c.const(I32, 0)
        for condition, bit in (
            (can_read, CAN_READ),
            (can_write & is_dirty, CAN_WRITE),
            (can_fetch, CAN_FETCH),
            (is_global, IS_GLOBAL),
            (is_user_page, IS_USER),
        ):
            rights = rights | c.select(condition, bit, 0)
        self._put("rights", rights)
        self._put("physical", c.get(leaf.page) & self.a20_mask)
        self._put("size", c.get(leaf.size))
        self._done()

    def _rights(self, is_user_page: Value) -> tuple[Value, Value, Value]:
        """Whether who makes the access may read, write, and fetch code from the page."""
        c, leaf = self.c, _Leaf
        is_user = self._is_user()
        has_smap = (self.cr4 & CR4_SMAP).ne(0) & (self.access & AC).eq(0)
        has_smep = (self.cr4 & CR4_SMEP).ne(0)
        has_wp = (self.cr0 & CR0_WP).ne(0)
        writable = (c.get(leaf.both) & READ_WRITE).ne(0)
        is_code = (c.get(leaf.any) & NX).eq(0)
        can_read = c.select(is_user, is_user_page, ~(is_user_page & has_smap), I1)
        can_write = can_read & (writable | ~is_user & ~has_wp)
        can_fetch = is_code & c.select(is_user, is_user_page, ~(is_user_page & has_smep), I1)
        return can_read, can_write, can_fetch
