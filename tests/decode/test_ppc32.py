"""The PowerPC table against capstone, objdump and itself."""

from __future__ import annotations

import random
import re
import shutil
import subprocess
import tempfile
import timeit
from collections.abc import Callable, Iterator
from pathlib import Path

import capstone
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tcg.decode import Row, Table, load_table
from tcg.decode.parse import parse
from tests.conftest import Golden
from tests.decode.samples import PPC32, Values, by_trying, samples, without_cases, word_samples

PC = 0x10000000
LISTING = Path(__file__).with_name("ppc32.objdump")
PER_ROW = 60
OBJDUMP = "powerpc-linux-gnu-objdump"

TABLE = load_table(str(PPC32))
ROWS = pytest.mark.parametrize("row", TABLE.rows, ids=lambda row: row.name)


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Table:
    """The table without extended mnemonics."""
    return load_table(str(without_cases(PPC32, tmp_path_factory.mktemp("plain") / "plain.decode")))


# -- capstone -------------------------------------------------------------------------------------


def capstone_text(word: int) -> str | None:
    """What capstone makes of a word, in our way of writing."""
    mode = capstone.CS_MODE_32 | capstone.CS_MODE_BIG_ENDIAN
    for found in capstone.Cs(capstone.CS_ARCH_PPC, mode).disasm(word.to_bytes(4, "big"), PC):
        return normalised(f"{found.mnemonic} {found.op_str}")
    return None


def normalised(text: str) -> str:
    """Numbers in decimal, addresses in 32 bits, CR bits as objdump writes them, one space."""
    text = re.sub(r"0x([0-9a-f]+)", lambda m: str(int(m[1], 16) & 0xFFFFFFFF), text)
    text = re.sub(r"\bcr(\d)(lt|gt|eq|un)\b", _bit, text.replace(",", ", "))
    return " ".join(text.split())


def _bit(found: re.Match[str]) -> str:
    field = "" if found[1] == "0" else f"4*cr{found[1]}+"
    return field + found[2].replace("un", "so")


Operands = dict[str, int]
Explained = Callable[[Operands], bool]


def _always(_: Operands) -> bool:
    return True


# Rows of which capstone 5 does not know a form, and which.  A test holds this exact.
UNKNOWN_TO_CAPSTONE: dict[str, Explained] = {
    **dict.fromkeys(("lswx", "stswx", "mcrxr", "fcmpo"), _always),
    **dict.fromkeys(("mtfsb0", "mtfsb1"), lambda o: o["rc"] == 1),
    **{
        row.name: lambda o: o["oe"] == 1
        for row in TABLE.rows
        if any(field.name == "oe" for field in row.fields)
    },
}

# Words that capstone 5 writes otherwise, and how that is to be explained.
OTHERWISE: dict[str, tuple[Explained, str]] = {
    "bc": (lambda o: o["bo"] == 20 or o["bd"] == 0, "takes bo 20 for bdnz; drops a target of 0"),
    "rlwinm": (lambda o: o["sh"] == 0 and o["mb"] == 0 and o["me"] == 31, "slwi 0, not rotlwi 0"),
    "mtfsfi": (_always, "writes the field of FPSCR as if it was one of CR"),
}


def _is_unknown(row: Row, operands: Operands) -> bool:
    return row.name in UNKNOWN_TO_CAPSTONE and UNKNOWN_TO_CAPSTONE[row.name](operands)


@ROWS
def test_capstone_agrees(row: Row, plain: Table) -> None:
    """With the text we show, or with the row's text without extended mnemonics."""
    for values in samples(row, PER_ROW):
        word = row.encode(values)
        operands = {field.name: value for field, value in zip(row.fields, values, strict=True)}
        theirs = capstone_text(word)
        if _is_unknown(row, operands):
            assert theirs is None, f"{word:08x}: capstone knows {theirs} now"
            continue
        if row.name in OTHERWISE and OTHERWISE[row.name][0](operands):
            continue
        ours = {normalised(table.row(row.name).disassemble(values, PC)) for table in (TABLE, plain)}
        assert theirs in ours, f"{word:08x} {values}"


# -- objdump --------------------------------------------------------------------------------------


def test_the_listing_of_objdump(golden: Golden, bless: bool) -> None:
    """A listing that objdump made (--bless makes it again), every line as we show it."""
    if bless and shutil.which(OBJDUMP):
        golden(LISTING, _objdump_listing())
    for line in LISTING.read_text().splitlines():
        digits, theirs = line.split(maxsplit=1)
        row, values = _decoded(int(digits, 16))
        assert row.disassemble(values, PC).replace(", ", ",") == _explained(theirs), digits


def test_every_text_is_in_the_listing() -> None:
    """Each row and each of its extended mnemonics was seen by objdump."""
    words = [int(line.split()[0], 16) for line in LISTING.read_text().splitlines()]
    seen = {(row.name, which) for row, which in map(_which_text, words)}
    seen.add(("mftb", 2))  # of a register that is not the time base: objdump shows no such thing
    for text in parse(str(PPC32)).rows:
        for which in range(len(text.cases) + 1):
            assert (text.name, which) in seen, f"{text.name}, text {which}"


def _decoded(word: int) -> tuple[Row, Values]:
    found = TABLE.decoder()(word)
    assert found is not None, f"{word:08x}"
    return TABLE.rows[found[0]], found[1]


CASES = {text.name: text.cases for text in parse(str(PPC32)).rows}


def _which_text(word: int) -> tuple[Row, int]:
    """A word's row, and which of the row's texts it is shown by."""
    row, values = _decoded(word)
    names = {field.name: value for field, value in zip(row.fields, values, strict=True)}
    for which, case in enumerate(CASES[row.name]):
        assert case.when is not None
        if eval(case.when.text, {}, names):
            return row, which
    return row, len(CASES[row.name])


def _explained(theirs: str) -> str:
    """What objdump, which knows later processors, writes otherwise than we do."""
    text = re.sub(r"^hwsync$", "sync", theirs)
    text = re.sub(r"^(dcbt|dcbtst)ct(\s)", r"\1  \2", text)
    mnemonic, *operands = text.split(maxsplit=1)
    return " ".join([mnemonic.ljust(7), *operands]) if operands else mnemonic


def _objdump_listing() -> str:
    """Words of every text of every row, as objdump shows them at PC; invalid forms left out."""
    words = sorted({*_words_for_listing(), *UNUSUAL})
    shown = _objdump(words)
    pairs = zip(words, shown, strict=True)
    return "".join(f"{word:08x}  {text}\n" for word, text in pairs if not text.startswith(".long"))


UNUSUAL = (0x4E850021, 0x4E860420)  # they always branch, and name a bit of CR all the same


def _words_for_listing() -> Iterator[int]:
    """Two words for each text, from many samples."""
    counts: dict[tuple[str, int], int] = {}
    for _, _, word in word_samples(TABLE, 1000):
        row, which = _which_text(word)
        counts[row.name, which] = counts.get((row.name, which), 0) + 1
        if counts[row.name, which] <= 2 + 2 * len(CASES[row.name]):
            yield word


def _objdump(words: list[int]) -> list[str]:
    """Each word on its own at PC: a branch's text depends on where it is."""
    shown = []
    with tempfile.NamedTemporaryFile() as file:
        for word in words:
            file.seek(0)
            file.write(word.to_bytes(4, "big"))
            file.flush()
            command = [OBJDUMP, "-D", "-z", "-b", "binary", "-m", "powerpc", "-EB"]
            command += [f"--adjust-vma={PC:#x}", file.name]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            shown.append(" ".join(done.stdout.splitlines()[-1].split("\t")[2:]))
    return shown


# -- the decoder ----------------------------------------------------------------------------------


@ROWS
def test_every_row_is_reached(row: Row) -> None:
    """Words made from operands decode to the row and the operands."""
    index = TABLE.rows.index(row)
    for values in samples(row, PER_ROW):
        assert TABLE.decoder()(row.encode(values)) == (index, values)


@settings(max_examples=500, deadline=None)
@given(st.integers(0, 0xFFFFFFFF))
def test_any_word(word: int) -> None:
    assert TABLE.decoder()(word) == by_trying(TABLE, word)


@settings(max_examples=500, deadline=None)
@given(
    st.sampled_from(TABLE.rows), st.lists(st.integers(0, 31), max_size=3), st.integers(0, 2**32 - 1)
)
def test_words_near_a_row(row: Row, flips: list[int], operands: int) -> None:
    """A row's word with some bits wrong: where rows border on each other."""
    word = row.value | operands & ~row.mask
    for bit in flips:
        word ^= 1 << bit
    assert TABLE.decoder()(word) == by_trying(TABLE, word)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 0xFFFFFFFF), st.integers(0, 0x3FFFFFFF))
def test_everything_can_be_shown(word: int, at: int) -> None:
    """No operands, valid or not, are too much for the disassembler."""
    found = TABLE.decoder()(word)
    if found is not None:
        text = TABLE.rows[found[0]].disassemble(found[1], 4 * at)
        assert re.fullmatch(r"[a-z0-9]+[.+-]?( +\S.*)?", text)


def test_privileged_and_reserved_words_are_unknown() -> None:
    # mfmsr, mtmsr, rfi, dcbi, tlbie, mfsr, ptesync, vaddubm; no opcodes at all
    words = "7c6000a6 7c600124 4c000064 7c0023ac 7c001a64 7d4004a6 7c4004ac 10642800"
    for word in [*words.split(), "00000000", "04000000"]:
        assert TABLE.decoder()(int(word, 16)) is None, word


def test_the_decoder_is_quick() -> None:
    """1.5 us a word are promised; it takes a third of that.  Here is room for a busy machine."""
    words = [row.encode(values) for row in TABLE.rows for values in samples(row, 5)]
    random.Random(1).shuffle(words)
    decode = TABLE.decoder()
    seconds = min(timeit.repeat(lambda: [decode(word) for word in words], number=3, repeat=5))
    assert seconds / 3 / len(words) < 5e-6
