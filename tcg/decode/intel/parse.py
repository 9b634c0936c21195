"""Reads a table in Intel's notation: text to rows, each with its line.

What one line can get wrong by itself is found here; what several rows get wrong together is
found in `check`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import NoReturn

from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedInput

from tcg.decode.errors import TableError
from tcg.decode.intel import decoder as d
from tcg.decode.intel.encoding import MEMORY, NFX, PREFIX_NAMES, REGISTER, Encoding
from tcg.decode.intel.operands import BY_MODRM, Operand, operand
from tcg.decode.intel.table import Row
from tcg.decode.syntax import explain

Node = Tree[Token]

CONDITIONS = ("o no b ae e ne be a s ns p np l ge le g").split()
"""The suffix for each value of tttn (SDM vol. 2, table B-10)."""

# fmt: off
PROPERTIES = {
    "lock":    "LOCK is allowed if the destination is memory",
    "rep":     "REP and REPNE mean something",
    "wo":      "the first operand is only written",
    "ro":      "the first operand is not written",
    "mem":     "ModRM must name memory",
    "reg":     "ModRM must name a register",
    "i64":     "illegal in 64-bit mode",
    "o64":     "only there in 64-bit mode",
    "d64":     "the operand size defaults to 64 in 64-bit mode",
    "f64":     "the operand size is 64 in 64-bit mode",
    "segment": "a segment override means something, though no operand says so",
    "norexb":  "REX.B must not be set",
    "byaddr":  "the mnemonic goes by the address size",
    "vsibx":   "the index of the address is an SSE register",
    "vsiby":   "the index of the address is an AVX register",
}
IMMEDIATES = {
    ("Ib",): d.BYTE, ("sIb",): d.SIGNED_BYTE, ("Iw",): d.WORD, ("Iz",): d.OPERAND,
    ("Iv",): d.WHOLE, ("Jb",): d.TARGET_BYTE, ("Jz",): d.TARGET, ("Ap",): d.FAR,
    ("Iw", "Ib"): d.WORD_BYTE, ("Ib", "Ib"): d.TWO_BYTES,
}
WRITTEN = {
    "Ib": "ib", "sIb": "ib", "Iw": "iw", "Iz": "iz", "Iv": "iv", "Jb": "cb", "Jz": "cz", "Ap": "cp",
}
VEX_WORDS = {
    "128": (0,), "256": (1,), "L0": (0,), "L1": (1,), "LZ": (0,), "LIG": (0, 1),
}
# fmt: on
"""The values of VEX.L for each way to write it."""

PREFIX_BYTES = (0x0F, 0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65, 0x66, 0x67, 0xF0, 0xF2, 0xF3)

SIB_FOLLOWS = 4
"""The value of ModRM.rm that says so."""

VEX_MAPS = {"0F": 1, "0F38": 2, "0F3A": 3}
VEX_PREFIXES = {name.upper(): index for index, name in enumerate(PREFIX_NAMES)}
VEX_WS = {"W0": (0,), "W1": (1,), "WIG": (0, 1)}


@dataclass(frozen=True, slots=True)
class RowText:
    """A row as the table has it.  Rows of one { } have the same `group`, which is its line."""

    row: Row
    encoding: Encoding
    group: int


def parse(path: str) -> list[RowText]:
    """Read the table at `path`.  Raises TableError, or OSError if it cannot be read."""
    with open(path, encoding="utf-8", errors="replace") as opened:
        return parse_text(opened.read(), path)


def parse_text(text: str, path: str) -> list[RowText]:
    """Read a table given as text; `path` is for its errors."""
    try:
        tree = _parser().parse(text + "\n")
    except UnexpectedInput as error:
        raise TableError(path, *explain(error, text + "\n", WORDS)) from None
    rows: list[RowText] = []
    for item in _nodes(tree):
        group = item.meta.line if item.data == "group" else 0
        for row in _nodes(item) if group else [item]:
            rows += _Reader(row, path, group).rows()
    return rows


class _Reader:
    """One line of the table."""

    def __init__(self, row: Node, path: str, group: int) -> None:
        self.path, self.line, self.group = path, row.meta.line, group
        codes = [part for part in row.children if isinstance(part, Token)]
        operands, properties = _nodes(row)
        self.mnemonic = str(codes.pop())
        self.operands = tuple(self._operand(str(token)) for token in _tokens(operands))
        if codes[-1] == "cb" and any(operand.letter == "J" for operand in self.operands):
            codes[-1].type = "IMMEDIATE"  # not the opcode CB
        self.codes = codes
        self.properties, self.feature = self._properties([str(t) for t in _tokens(properties)])

    def fail(self, fact: str, hint: str) -> NoReturn:
        raise TableError(self.path, self.line, f"{self.mnemonic}: {fact}", hint)

    def _operand(self, text: str) -> Operand:
        try:
            return operand(text)
        except ValueError as error:
            self.fail(str(error), "the letters are those of the SDM's appendix A.2: Ev, Gb, Iz")

    def _properties(self, words: Sequence[str]) -> tuple[frozenset[str], str | None]:
        feature = None
        for word in words:
            kind, _, name = word.partition(":")
            if kind == "cpu" and name:
                feature = name
            elif word not in PROPERTIES:
                self.fail(f"there is no property {word}", f"there are: {', '.join(PROPERTIES)}")
        self._check_properties(words)
        return frozenset(word for word in words if ":" not in word), feature

    def _check_properties(self, words: Sequence[str]) -> None:
        """Properties that speak of the first operand."""
        first = self.operands[0].letter if self.operands else ""
        if "wo" in words and "ro" in words:
            self.fail("it is wo and ro", "wo: the first operand is written only, ro: not at all")
        if not self.operands and {"wo", "ro"} & {*words}:
            self.fail("wo and ro say something of the first operand", "it has none")
        if "lock" in words and first not in ("E", "M"):
            self.fail("lock needs a destination in memory", "as in add Ev, Gv lock")

    # -- the row's instructions ------------------------------------------------------------------

    def rows(self) -> Iterator[RowText]:
        """The instructions of the line: sixteen with +cc."""
        encoding, span = self._encoding()
        if span != "cc":
            yield self._row(encoding, None)
            return
        if "{cc}" not in self.mnemonic:
            self.fail("the opcode has +cc, the mnemonic no {cc}", "write it as j{cc}")
        for number in range(16):
            yield self._row(encoding._replace(opcode=encoding.opcode + number), number)

    def _row(self, encoding: Encoding, cc: int | None) -> RowText:
        mnemonic = self.mnemonic
        if cc is not None:
            mnemonic = mnemonic.replace("{cc}", CONDITIONS[cc])
        elif "{cc}" in mnemonic:
            self.fail("the mnemonic has {cc}, the opcode no +cc", "write the opcode as 70+cc")
        mnemonics = _mnemonics(mnemonic)
        name = mnemonic.partition("/")[0].partition("{")[0]
        vector_length = 0
        if encoding.vex:
            vector_length = 256 if encoding.vex[0] == (1,) else 128
        row = Row(
            name=name,
            function=self.mnemonic.replace("{cc}", "cc") if cc is not None else name,
            cc=cc,
            key="_".join([name, *(operand.text.replace("/", "") for operand in self.operands)]),
            mnemonics=mnemonics,
            operands=self.operands,
            properties=self.properties,
            feature=self.feature,
            encoding=" ".join(self.codes),
            vector_length=vector_length,
            file=self.path,
            line=self.line,
        )
        return RowText(row, encoding, self.group)

    # -- the encoding ------------------------------------------------------------------------------

    def _encoding(self) -> tuple[Encoding, str]:
        codes = list(self.codes)
        vex, prefix, number = None, None, 0
        if codes[0].type == "VEX":
            vex, prefix, number = self._vex(codes.pop(0))
        elif codes[0].type == "NP":
            prefix = 0 if codes.pop(0) == "NP" else NFX
        elif codes[0].lower() in PREFIX_NAMES and len(codes) > 1 and codes[1].type != "IMMEDIATE":
            prefix = PREFIX_NAMES.index(codes.pop(0).lower())
        if vex is None:
            number = _take_escapes(codes)
        opcode, span = self._take_opcode(codes)
        self._check_opcode(number, opcode, vex is not None)
        has_modrm, mods, regs, rm = self._take_modrm(codes)
        suffix = int(codes.pop(0), 16) if codes and codes[0].type == "BYTE" else None
        immediate = self._take_immediates(codes)
        if codes:
            self.fail(
                f"{codes[0]} makes no sense at this place",
                "an encoding is: prefix, escapes, opcode, /r or /0 to /7, ib iw iz",
            )
        encoding = Encoding(
            vex, prefix, number, opcode, 8 if span == "r" else 1,
            has_modrm, mods, regs, rm, suffix, immediate,
        )  # fmt: skip
        return encoding, span

    def _vex(self, word: Token) -> tuple[tuple[tuple[int, ...], tuple[int, ...]], int, int]:
        length: tuple[int, ...] | None = None
        ws: tuple[int, ...] = (0, 1)
        prefix = number = 0
        for part in word.split(".")[1:]:
            if part in VEX_WORDS:
                length = VEX_WORDS[part]
            elif part in VEX_PREFIXES:
                prefix = VEX_PREFIXES[part]
            elif part in VEX_MAPS:
                number = VEX_MAPS[part]
            elif part in VEX_WS:
                ws = VEX_WS[part]
            else:
                known = ", ".join([*VEX_WORDS, *VEX_PREFIXES, *VEX_MAPS, *VEX_WS])
                self.fail(f"{part} makes no sense in {word}", f"VEX has: {known}")
        if length is None or not number:
            what = "map" if length else "length"
            self.fail(f"{word} does not say the {what}", "as in VEX.256.66.0F38.W0")
        return (length, ws), prefix, number

    def _take_opcode(self, codes: list[Token]) -> tuple[int, str]:
        if not codes or codes[0].type not in ("BYTE", "PLUS"):
            self.fail("there is no opcode", "write its bytes, as in 0f b6 /r")
        byte, _, span = codes.pop(0).partition("+")
        opcode = int(byte, 16)
        if opcode & {"r": 7, "cc": 15, "": 0, "i": 0xFF}[span]:
            self.fail(f"{byte}+{span} is not the first of its opcodes", "write the lowest one")
        return opcode, span

    def _check_opcode(self, number: int, opcode: int, has_vex: bool) -> None:
        if has_vex:
            return
        if (number == 0 and opcode in PREFIX_BYTES) or (number == 1 and opcode in (0x38, 0x3A)):
            self.fail(f"{opcode:02x} is a prefix or an escape", "an opcode must follow it")
        if number == 0 and opcode & 0xF0 == 0x40 and "i64" not in self.properties:
            self.fail(f"{opcode:02x} is a REX prefix in 64-bit mode", "add the property i64")

    def _take_modrm(self, codes: list[Token]) -> tuple[bool, int, int, int | None]:
        """Whether there is ModRM, what its mod may say, and what reg and rm may be."""
        if codes and codes[0].type == "DIGIT":
            digit = codes.pop(0)[1:]
            rm = SIB_FOLLOWS if self.properties & {"vsibx", "vsiby"} else None
            return True, self._mods(), self._regs() if digit == "r" else 1 << int(digit), rm
        if codes and codes[0].type in ("BYTE", "PLUS"):
            byte, _, span = codes.pop(0).partition("+")
            modrm = int(byte, 16)
            if modrm < 0xC0 or (span and (span != "i" or modrm & 7)):
                self.fail(
                    f"{byte} is no ModRM byte that names registers",
                    "c0 to ff, or with +i: c0+i, c8+i, ...",
                )
            return True, REGISTER, 1 << (modrm >> 3 & 7), None if span else modrm & 7
        for needs in self.operands:
            if needs.letter in BY_MODRM:
                self.fail(f"{needs.text} is in ModRM, the row has none", "write /r, or /0 to /7")
        return False, 0, 0, None

    def _regs(self) -> int:
        """The digits for /r: there are CR0, 2, 3, 4, 8, and six selectors; none moves to CS."""
        letters = [operand.letter for operand in self.operands]
        if "C" in letters:
            return 0x1D
        if "S" not in letters:
            return 0xFF
        return 0x3D if letters[0] == "S" else 0x3F

    def _mods(self) -> int:
        mods = MEMORY | REGISTER
        letters = {operand.letter for operand in self.operands}
        if "M" in letters or "mem" in self.properties:
            mods &= MEMORY
        if letters & set("NRU") or "reg" in self.properties:
            mods &= REGISTER
        if not mods:
            self.fail("ModRM cannot name memory and a register", "write two rows")
        return mods

    def _take_immediates(self, codes: list[Token]) -> int:
        operands = [o for o in self.operands if o.letter in ("I", "sI", "J", "A", "O", "L")]
        texts = tuple(operand.text for operand in operands)
        written = [str(code).strip("/") for code in codes if code.type == "IMMEDIATE"]
        del codes[: len(written)]
        letters = "".join(operand.letter for operand in operands)
        if letters == "O":
            kind, expected = d.OFFSET, []
        elif letters == "L":
            kind, expected = d.REGISTER, ["is4"]
        elif not texts:
            kind, expected = d.NONE, []
        else:
            kind = IMMEDIATES.get(texts, d.NONE)
            expected = [WRITTEN.get(text, "") for text in texts]
        if kind == d.NONE and texts:
            known = ", ".join(" ".join(key) for key in IMMEDIATES)
            self.fail(f"there is no immediate {', '.join(texts)}", f"there are: {known}, L, O")
        if written and written != expected:
            wants = " ".join(expected) or "none"
            self.fail(
                f"the opcode has {' '.join(written)}, the operands want {wants}",
                "the two must agree; the first may be left out",
            )
        return kind


def _take_escapes(codes: list[Token]) -> int:
    """The map that the leading escape bytes lead to."""
    if not codes or codes[0] != "0f" or len(codes) < 2 or codes[1].type == "MNEMONIC":
        return 0
    codes.pop(0)
    if codes[0] in ("38", "3a") and len(codes) > 1 and codes[1].type in ("BYTE", "PLUS"):
        return 2 if codes.pop(0) == "38" else 3
    return 1


def _mnemonics(text: str) -> tuple[str, str, str]:
    """The mnemonics for operand sizes 2, 4, 8: of cbw/cwde/cdqe, or of movs{wdq}."""
    head, brace, tail = text.partition("{")
    if brace:
        letters, _, rest = tail.partition("}")
        names = [head + letter + rest for letter in letters]
    else:
        names = text.split("/")
    names += names[-1:] * (3 - len(names))
    return names[0], names[1], names[2]


def numbered(rows: Sequence[RowText]) -> list[RowText]:
    """The same rows with keys that differ: a second `nop_Ev` becomes `nop_Ev_2`."""
    counts: dict[str, int] = {}
    result = []
    for text in rows:
        key = text.row.key
        counts[key] = count = counts.get(key, 0) + 1
        if count > 1:
            text = replace(text, row=text.row._replace(key=f"{key}_{count}"))
        result.append(text)
    return result


# -- the grammar ----------------------------------------------------------------------------------

WORDS = {
    "VEX": "VEX",
    "NP": "NP or NFx",
    "BYTE": "a byte of the opcode",
    "PLUS": "an opcode with +r, +i or +cc",
    "DIGIT": "/r or /0 to /7",
    "IMMEDIATE": "ib, iw, iz, cb, cz or is4",
    "MNEMONIC": "the mnemonic",
    "OPERAND": "an operand",
    "PROPERTY": "a property",
    "COMMA": ",",
    "LBRACE": "{",
    "RBRACE": "}",
    "_NL": "the end of the line",
    "$END": "the end",
}


@cache
def _parser() -> Lark:
    grammar = files("tcg.decode.intel").joinpath("grammar.lark").read_text(encoding="utf-8")
    return Lark(grammar, parser="lalr", start="table", propagate_positions=True)


def _nodes(tree: Node) -> list[Node]:
    return [child for child in tree.children if isinstance(child, Tree)]


def _tokens(tree: Node) -> list[Token]:
    return [child for child in tree.children if isinstance(child, Token)]
