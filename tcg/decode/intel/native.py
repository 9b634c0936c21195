"""The decoder as IR: what `decoder.make_decoder` does in Python, by the same slots.

`lay_out` writes the slots of one mode to host memory as numbers:

    slot     8 bytes: kind, and from bit 8 on its payload, a number of 8 bytes' units in the tables
    leaf     row (4), operand sizes (4), kind of immediate (1), 0 (1), flags (2)

Rows of 3DNow!, whose opcode comes last, are left to Python, as is code longer than what is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import pack
from typing import Any

from tcg.decode.intel import decoder as d
from tcg.decode.intel.decoder import Dispatch, Slot
from tcg.ir import Value
from tcg.native.host import HostBuilder, Variable

NOTHING = 0xFFFF_FFFF
"""No leaf; no slot."""
MASK32 = 0xFFFF_FFFF
NO_REGISTER = 0xFF
FORM_BYTES = 8


class Tables:
    """The slots of a mode as bytes, from `first` (in units of eight bytes) on."""

    def __init__(self, dispatch: Dispatch, mode: int, none: int) -> None:
        self.units = bytearray()
        self._leaves: dict[int, int] = {}
        self._seen: dict[int, int] = {}
        self._kept: list[Any] = []
        first, vex = dispatch
        self.first = self._slots(first)
        self.vex = [self._slots(slots) for slots in vex]
        wide, word = d.make_forms(mode, none)
        self.wide, self.word = self._forms(wide), self._forms(word)

    def _append(self, data: bytes) -> int:
        at = len(self.units) // 8
        self.units += data + bytes(-len(data) % 8)
        return at

    def _slots(self, slots: Sequence[Slot]) -> int:
        if id(slots) in self._seen:
            return self._seen[id(slots)]
        self._kept.append(slots)
        numbers = [self._slot(slot) for slot in slots]
        at = self._append(pack(f"<{len(numbers)}Q", *numbers))
        self._seen[id(slots)] = at
        return at

    def _slot(self, slot: Slot) -> int:
        kind, payload = slot
        return kind | self._payload(kind, payload) << 8

    def _payload(self, kind: int, payload: Any) -> int:
        if kind in (d.LEAF, d.MODRM):
            return self._leaf(payload)
        if kind in (d.BY_REG, d.BY_MODRM):
            leaves = [NOTHING if one is None else self._leaf(one) for one in payload]
            return self._append(pack(f"<{len(leaves)}Q", *leaves))
        if kind == d.VEX:
            return NOTHING if payload is None else self._slots((payload,))
        if kind in (d.ESCAPE, d.BY_PREFIX, d.BY_REXB, d.BY_VEX):
            return self._slots(payload)
        return payload or 0

    def _leaf(self, leaf: d.Leaf) -> int:
        at = self._leaves.get(id(leaf))
        if at is None:
            self._kept.append(leaf)
            row, sizes, immediate, flags = leaf
            number = NOTHING if isinstance(row, dict) else row
            at = self._append(pack("<I4BBBH", number, *sizes, immediate, 0, flags) + bytes(4))
            self._leaves[id(leaf)] = at
        return at

    def _forms(self, forms: dict[int, d.Form]) -> int:
        """What ModRM bytes say, with REX above them; a register that is none is NO_REGISTER."""
        data = bytearray()
        for key in range(2048):
            data += bytes(part & 0xFF for part in forms[key]) + bytes(3)
        return self._append(bytes(data))


class IntelDecoder:
    """Implements tcg.native.decoder.NativeDecoder for one mode of code."""

    def __init__(self, dispatch: Dispatch, mode: int, none: int, rows: int) -> None:
        self._made = Tables(dispatch, mode, none)
        self._mode = mode
        self._none = none
        self.rows = rows

    @property
    def tables(self) -> bytes:
        """What the code walks through."""
        return bytes(self._made.units)

    def emit(
        self, b: HostBuilder, tables: Value, fields: Value, code: Value, pc: Value
    ) -> tuple[Variable, Variable]:
        """Emit the decoding of an instruction; gives its row and its length."""
        made = _Decoder(b, self._made, self._mode, self._none, tables, fields)
        made.emit(code, pc)
        return made.v["row"], made.v["length"]


class _Decoder:
    """Emits the decoding of one instruction.

    `tables`: the address of the tables; `code`: of the instruction; `pc`.  Afterwards `row` is the
    row, or NOTHING if none matches, or ASK_PYTHON; `length` its bytes; the fields are at `fields`,
    eight bytes each, in the order of decoder.FIELDS.
    """

    ASK_PYTHON = 0xFFFF_FFFE

    def __init__(
        self, b: HostBuilder, made: Tables, mode: int, none: int, tables: Value, fields: Value
    ) -> None:
        self.b = b
        self.made = made
        self.mode = mode
        self.none = none
        self.registers = 16 if mode == 64 else 8
        self.tables = tables
        self.fields = fields
        names = (
            "kind", "payload", "at", "rex", "opsize", "segment", "lock", "rep", "vvvv", "other",
            "opcode", "reg", "rm", "base", "index", "scale", "disp", "imm", "imm2", "follows",
            "row", "length", "leaf", "has_modrm",
        )  # fmt: skip
        self.v: dict[str, Variable] = {name: b.variable() for name in names}

    def _unit(self, number: Value | int) -> Value:
        """The address of a unit of the tables."""
        if isinstance(number, int):
            return self.tables + number * 8
        return self.tables + (number << 3)

    def _take_slot(self, base: Value | int, index: Value) -> None:
        """Go on with the slot at an index of a row of slots."""
        slot = self.b.load_u(self._unit(base) + (index << 3), 8)
        self.v["kind"].set(slot & 0xFF)
        self.v["payload"].set(slot >> 8)

    def _illegal(self) -> None:
        self.v["kind"].set(d.ILLEGAL)

    def emit(self, code: Value, pc: Value) -> None:
        """Decode the instruction."""
        b, v = self.b, self.v
        for name in ("rex", "opsize", "segment", "lock", "rep", "vvvv", "other", "reg", "scale",
                     "disp", "imm", "imm2", "follows", "has_modrm"):  # fmt: skip
            v[name].set(0)
        v["rm"].set(-1 & (1 << 64) - 1)
        v["base"].set(self.none)
        v["index"].set(self.none)
        v["row"].set(NOTHING)
        opcode = b.load_u(code, 1)
        v["opcode"].set(opcode)
        v["at"].set(code + 1)
        self._take_slot(self.made.first, opcode)
        self._opcode(code)
        kind = v["kind"].get()
        with b.when(kind.ne(d.ILLEGAL)):
            v["leaf"].set(v["payload"].get())
            with b.when(kind.ne(d.LEAF)):
                self._modrm(kind)
            with b.when(v["leaf"].get().ne(NOTHING)):
                self._operands(code, pc)

    # -- prefixes and opcode -----------------------------------------------------------------------

    def _opcode(self, code: Value) -> None:
        b, v = self.b, self.v
        with b.loop() as loop:
            kind, payload = v["kind"].get(), v["payload"].get()
            loop.leave_if(kind.ule(d.BY_MODRM) | kind.eq(d.ILLEGAL))
            loop.leave_if((v["at"].get() - code).ugt(d.LONGEST))
            with b.when(kind.eq(d.BY_PREFIX)):
                rep = v["rep"].get()
                self._take_slot(payload, b.pick(rep.ne(0), rep, v["opsize"].get()))
            with b.when(kind.eq(d.BY_REXB)):
                self._take_slot(payload, v["rex"].get() & 1)
            with b.when(kind.eq(d.VEX)):
                self._vex(payload)
            is_other = kind.ne(d.BY_PREFIX) & kind.ne(d.BY_REXB) & kind.ne(d.VEX)
            with b.when(is_other):
                self._next_byte(kind, payload)

    def _next_byte(self, kind: Value, payload: Value) -> None:
        """An escape or a prefix, and the byte behind it."""
        b, v = self.b, self.v
        opcode = b.load_u(v["at"].get(), 1)
        v["at"].add(1)
        v["opcode"].set(opcode)
        is_escape = kind.eq(d.ESCAPE)
        with b.when(is_escape):
            self._take_slot(payload, opcode)
        with b.when(~is_escape):
            v["rex"].set(b.pick(kind.eq(d.REX), payload, 0))
            v["opsize"].set(b.pick(kind.eq(d.OPSIZE), 1, v["opsize"].get()))
            v["rep"].set(b.pick(kind.eq(d.REP), payload, v["rep"].get()))
            overrides = kind.eq(d.SEGMENT) & payload.ne(0)
            v["segment"].set(b.pick(overrides, payload, v["segment"].get()))
            v["other"].set(b.pick(kind.eq(d.ADDRSIZE), 1, v["other"].get()))
            v["lock"].set(b.pick(kind.eq(d.LOCK), 1, v["lock"].get()))
            self._take_slot(self.made.first, opcode)

    def _vex(self, payload: Value) -> None:
        """LDS and LES, where they are, or a VEX prefix (SDM vol. 2, 2.3.5)."""
        b, v = self.b, self.v
        byte = b.load_u(v["at"].get(), 1)
        loads = payload.ne(NOTHING) & byte.ult(0xC0)
        with b.when(loads):
            self._take_slot(payload, b.value(byte.type, 0))
        with b.when(~loads):
            mixed = v["rex"].get() | v["opsize"].get() | v["rep"].get() | v["lock"].get()
            with b.when(mixed.ne(0)):
                self._illegal()
            with b.when(mixed.eq(0)):
                self._read_vex(byte)

    def _read_vex(self, byte: Value) -> None:
        b, v = self.b, self.v
        is_long = v["opcode"].get().eq(0xC4)
        second = b.load_u(v["at"].get(), 1, 1)
        rex_short = (byte >> 5) & 4 ^ 4
        rex_long = ((byte >> 5) ^ 7) | ((second >> 4) & 8)
        rex = b.pick(is_long, rex_long, rex_short)
        number = b.pick(is_long, byte & 31, 1)
        last = b.pick(is_long, second, byte)
        here = v["at"].get() + b.pick(is_long, 1, 0)
        opcode = b.load_u(here, 1, 1)
        v["opcode"].set(opcode)
        v["at"].set(here + 2)
        v["vvvv"].set((last >> 3) & 15 ^ 15)
        v["rex"].set(rex if self.mode == 64 else rex & 8)
        maps = len(self.made.vex)
        known = (number - 1).ult(maps)
        with b.when(~known):
            self._illegal()
        with b.when(known):
            table = b.value(number.type, self.made.vex[0])
            for other in range(1, maps):
                table = b.pick(number.eq(other + 1), self.made.vex[other], table)
            self._take_slot(table, opcode)
            by_vex = v["kind"].get().eq(d.BY_VEX)
            with b.when(by_vex):
                self._take_slot(v["payload"].get(), (last & 7) << 1 | rex >> 3)

    # -- ModRM -------------------------------------------------------------------------------------

    def _modrm(self, kind: Value) -> None:
        b, v = self.b, self.v
        v["has_modrm"].set(1)
        modrm = b.load_u(v["at"].get(), 1)
        v["at"].add(1)
        with b.when(kind.ne(d.MODRM)):
            index = b.pick(kind.eq(d.BY_REG), modrm >> 3, modrm)
            v["leaf"].set(b.load_u(self._unit(v["payload"].get()) + (index << 3), 8))
        other = v["other"].get().ne(0)
        usual, unusual = (self.made.wide, self.made.word)
        if self.mode == 16:
            usual, unusual = unusual, usual
        if self.mode == 64:
            unusual = self.made.wide
        table = b.pick(other, unusual, usual)
        form = b.load_u(self._unit(table) + (((v["rex"].get() & 7) << 8 | modrm) << 3), 8)
        v["reg"].set(form & 0xFF)
        rm = form >> 8 & 0xFF
        v["rm"].set(b.pick(rm.eq(NO_REGISTER), -1, rm))
        v["base"].set(form >> 16 & 0xFF)
        v["index"].set(form >> 24 & 0xFF)
        v["follows"].set(form >> 32 & 0xFF)
        follows = v["follows"].get()
        with b.when(follows.uge(d.SIB)):
            self._sib(follows - d.SIB)
        self._displacement()

    def _sib(self, follows: Value) -> None:
        b, v = self.b, self.v
        sib = b.load_u(v["at"].get(), 1)
        v["at"].add(1)
        rex = v["rex"].get()
        index = (sib >> 3) & 7 | (rex & 2) << 2
        base = sib & 7 | (rex & 1) << 3
        v["index"].set(b.pick(index.eq(4), self.none, index))
        v["scale"].set(sib >> 6)
        bare = follows.eq(0) & (sib & 7).eq(5)
        v["base"].set(b.pick(bare, self.none, base))
        v["follows"].set(b.pick(bare, d.DISP32, follows))

    def _displacement(self) -> None:
        b, v = self.b, self.v
        follows = v["follows"].get()
        for size, kinds in ((1, (d.DISP8,)), (2, (d.DISP16,)), (4, (d.DISP32, d.RIP))):
            is_it = follows.eq(kinds[0])
            for kind in kinds[1:]:
                is_it = is_it | follows.eq(kind)
            with b.when(is_it):
                v["disp"].set(b.load_s(v["at"].get(), size))
                v["at"].add(size)

    # -- what the leaf says ------------------------------------------------------------------------

    def _operands(self, code: Value, pc: Value) -> None:
        b, v = self.b, self.v
        leaf = self._unit(v["leaf"].get())
        row = b.load_u(leaf, 4)
        immediate, flags = b.load_u(leaf, 1, 8), b.load_u(leaf, 2, 10)
        which = v["opsize"].get() | (v["rex"].get() >> 2) & 2
        opsize = b.load_u(leaf + which, 1, 4)
        addrsize = self._addrsize()
        v["row"].set(b.pick(row.eq(NOTHING), self.ASK_PYTHON, row))
        with b.when(immediate.ne(d.NONE)):
            self._immediate(immediate, code, pc, opsize, addrsize)
        length = v["at"].get() - code
        v["length"].set(length)
        mask = b.pick(addrsize.eq(4), MASK32, (1 << 64) - 1)
        relative = (v["disp"].get() + pc + length) & mask
        v["disp"].set(b.pick(v["follows"].get().eq(d.RIP), relative, v["disp"].get()))
        self._flags(flags, addrsize)
        self._finish(opsize, addrsize, length)

    def _addrsize(self) -> Value:
        usual, other = {64: (8, 4), 32: (4, 2), 16: (2, 4)}[self.mode]
        return self.b.pick(self.v["other"].get().ne(0), other, usual)

    def _read(self, name: str, size: int, *, signed: bool = True) -> None:
        b, v = self.b, self.v
        at = v["at"].get()
        v[name].set(b.load_s(at, size) if signed else b.load_u(at, size))
        v["at"].add(size)

    def _immediate(
        self, kind: Value, code: Value, pc: Value, opsize: Value, addrsize: Value
    ) -> None:
        b, v = self.b, self.v
        with b.when(kind.eq(d.BYTE)):
            self._read("imm", 1, signed=False)
        with b.when(kind.eq(d.SIGNED_BYTE) | kind.eq(d.TARGET_BYTE)):
            self._read("imm", 1)
        with b.when(kind.eq(d.TARGET) | kind.eq(d.OPERAND)):
            self._operand_sized("imm", opsize)
        with b.when(kind.eq(d.TARGET) | kind.eq(d.TARGET_BYTE)):
            mask = b.pick(opsize.eq(2), 0xFFFF, b.pick(opsize.eq(4), MASK32, (1 << 64) - 1))
            v["imm"].set((pc + (v["at"].get() - code) + v["imm"].get()) & mask)
        with b.when(kind.eq(d.WHOLE)):
            self._whole("imm", opsize)
        with b.when(kind.eq(d.OFFSET)):
            self._whole("disp", addrsize)
        rare = kind.eq(d.WORD) | kind.eq(d.WORD_BYTE) | kind.eq(d.FAR)
        with b.when(rare | kind.eq(d.REGISTER) | kind.eq(d.TWO_BYTES)):
            self._rare(kind, opsize)
        with b.when(kind.eq(d.SUFFIX)):
            v["row"].set(self.ASK_PYTHON)

    def _operand_sized(self, name: str, size: Value) -> None:
        b = self.b
        is_word = size.eq(2)
        with b.when(is_word):
            self._read(name, 2)
        with b.when(~is_word):
            self._read(name, 4)

    def _whole(self, name: str, size: Value) -> None:
        b = self.b
        is_wide = size.eq(8)
        with b.when(is_wide):
            self._read(name, 8)
        with b.when(~is_wide):
            self._operand_sized(name, size)

    def _rare(self, kind: Value, opsize: Value) -> None:
        b, v = self.b, self.v
        with b.when(kind.eq(d.WORD) | kind.eq(d.WORD_BYTE)):
            self._read("imm", 2, signed=False)
        with b.when(kind.eq(d.WORD_BYTE)):
            self._read("imm2", 1, signed=False)
        with b.when(kind.eq(d.TWO_BYTES)):
            self._read("imm", 1, signed=False)
            self._read("imm2", 1, signed=False)
        with b.when(kind.eq(d.REGISTER)):
            byte = b.load_u(v["at"].get(), 1)
            v["at"].add(1)
            v["imm"].set(byte & 15)
            v["imm2"].set((byte >> 4) & (self.registers - 1))
        with b.when(kind.eq(d.FAR)):
            is_word = opsize.eq(2)
            with b.when(is_word):
                self._read("imm", 2, signed=False)
            with b.when(~is_word):
                self._read("imm", 4, signed=False)
            self._read("imm2", 2, signed=False)

    def _flags(self, flags: Value, addrsize: Value) -> None:
        b, v = self.b, self.v
        vvvv = v["vvvv"].get()
        with b.when(flags.ne(0) | vvvv.ne(0)):
            low = v["opcode"].get() & 7 | (v["rex"].get() & 1) << 3
            v["rm"].set(b.pick((flags & d.LOW_BITS).ne(0), low, v["rm"].get()))
            with b.when((flags & d.NO_VVVV).ne(0) & vvvv.ne(0)):
                v["row"].set(NOTHING)
            v["vvvv"].set(vvvv & (self.registers - 1))
            with b.when((flags & d.VSIB).ne(0)):
                self._vsib(addrsize)
            reg, rm = v["reg"].get(), v["rm"].get()
            v["reg"].set(b.pick((flags & d.LOW_REG).ne(0), reg & 7, reg))
            cuts = (flags & d.LOW_RM).ne(0) & rm.sgt(7)
            v["rm"].set(b.pick(cuts, rm & 7, rm))
        locked = v["lock"].get().ne(0)
        with b.when(locked & ((flags & d.LOCKABLE).eq(0) | v["rm"].get().sge(0))):
            v["row"].set(NOTHING)
        v["rep"].set(b.pick((flags & d.REPEATS).eq(0), 0, v["rep"].get()))
        no_memory = v["has_modrm"].get().eq(0) | v["rm"].get().sge(0)
        drops = no_memory & (flags & d.HAS_MEMORY).eq(0)
        v["segment"].set(b.pick(drops, 0, v["segment"].get()))

    def _vsib(self, addrsize: Value) -> None:
        b, v = self.b, self.v
        index = v["index"].get()
        index = b.pick(index.eq(self.none), 4, index)
        v["index"].set(index)
        reg, vvvv = v["reg"].get(), v["vvvv"].get()
        bad = addrsize.eq(2) | reg.eq(index) | reg.eq(vvvv) | index.eq(vvvv)
        with b.when(bad):
            v["row"].set(NOTHING)

    def _finish(self, opsize: Value, addrsize: Value, length: Value) -> None:
        b, v = self.b, self.v
        with b.when(length.ugt(d.LONGEST)):
            v["row"].set(NOTHING)
        given = {
            "length": length, "opsize": opsize, "addrsize": addrsize, "rex": v["rex"].get() >> 6,
        }  # fmt: skip
        for number, name in enumerate(d.FIELDS):
            value = given[name] if name in given else v[name].get()
            b.store_n(self.fields, 8, value, 8 * number)
