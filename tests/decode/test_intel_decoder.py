"""The decoder of the x86 table: cases as text, and what holds for any bytes."""

from __future__ import annotations

import random
import re
import timeit
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frontends.x86.table import x86_table
from tcg.decode.intel import FIELDS
from tcg.decode.intel.table import MODES
from tcg.frontend import Decoded
from tests.conftest import Golden
from tests.decode.intel_samples import ROWS, samples

CASES = Path(__file__).with_name("intel_cases.txt")
PC = 0x1000
TABLE = x86_table()
BY_MODE = pytest.mark.parametrize("mode", MODES)


def described(code: bytes, mode: int) -> str:
    """What bytes decode to: the row, its text, the fields that say something."""
    found = TABLE.decoder(mode)(code, 0, PC)
    if found is None:
        return "-"
    none = 16 if mode == 64 else 8
    usual = {"rm": -1, "base": none, "index": none, "addrsize": mode // 8, "length": len(code)}
    usual["opsize"] = 2 if mode == 16 else 4
    values = dict(zip(FIELDS, found.fields, strict=True))
    told = [
        f"{name}={value:#x}" if value > 99 else f"{name}={value}"
        for name, value in values.items()
        if value != usual.get(name, 0)
    ]
    text = TABLE.disassemble(found, PC, mode)
    return " ".join([f"{text:36}", TABLE.rows[found.row].key, *told]).strip()


def test_cases(golden: Golden) -> None:
    """Bytes and what they are, in intel_cases.txt; --bless fills in the right half."""
    lines = []
    for line in CASES.read_text().splitlines():
        left = line.partition("=>")[0].rstrip()
        if left and not left.startswith("#"):
            mode, _, code = left.partition(" ")
            left = f"{left:52} => {described(bytes.fromhex(code), int(mode))}"
        lines.append(left)
    golden(CASES, "\n".join(lines) + "\n")


@BY_MODE
def test_every_row_is_reached(mode: int) -> None:
    """Bytes made for a row decode to it, but where a row above has the special case."""
    decode = TABLE.decoder(mode)
    for index, text in enumerate(ROWS):
        properties = text.row.properties
        if ("i64" if mode == 64 else "o64") in properties:
            continue
        found = {got.row for code in samples(text, mode, 40) if (got := decode(code, 0, PC))}
        assert index in found or not found, text.row.key
        assert found, text.row.key


@BY_MODE
def test_the_bytes_behind_do_not_matter(mode: int) -> None:
    """An instruction is as long as it says: shorter is none, longer is the same; also elsewhere."""
    decode = TABLE.decoder(mode)
    for text in ROWS:
        for code in samples(text, mode, 2, "cut"):
            found = decode(code, 0, PC)
            if found is None:
                continue
            size = found.size
            assert decode(code[:size], 0, PC) == found
            assert decode(b"\x26\x48" + code, 2, PC) == found
            assert all(decode(code[:length], 0, PC) is None for length in range(size))


@settings(max_examples=400, deadline=None)
@given(st.binary(max_size=18), st.sampled_from(MODES), st.integers(0, (1 << 64) - 1))
def test_any_bytes(code: bytes, mode: int, pc: int) -> None:
    """Never an exception; fields within their bounds; whatever it is can be shown."""
    found = TABLE.decoder(mode)(code, 0, pc & (1 << mode) - 1)
    if found is not None:
        check_fields(found, mode)
        text = TABLE.disassemble(found, pc, mode)
        assert re.fullmatch(r"((lock|rep|repe|repne) )?[a-z][a-z0-9]*( \S.*)?", text), text


def check_fields(found: Decoded, mode: int) -> None:
    f = dict(zip(FIELDS, found.fields, strict=True))
    none = 16 if mode == 64 else 8
    assert f["length"] == found.size
    assert 0 < found.size <= 15
    assert f["opsize"] in ((2, 4, 8) if mode == 64 else (2, 4))
    assert f["addrsize"] in ((4, 8) if mode == 64 else (2, 4))
    assert f["segment"] in ((0, 5, 6) if mode == 64 else range(7))
    assert f["lock"] in (0, 1)
    assert f["rep"] in (0, 2, 3)
    assert f["rex"] in ((0, 1) if mode == 64 else (0,))
    assert 0 <= f["reg"] < none
    assert -1 <= f["rm"] < none
    assert 0 <= f["base"] <= none
    assert 0 <= f["index"] <= none
    assert 0 <= f["scale"] < 4
    assert 0 <= f["vvvv"] < none


def test_features_can_be_absent() -> None:
    """Without BMI1, TZCNT is BSF with a prefix that says nothing."""
    code = bytes.fromhex("f30fbcc1")
    assert "bmi1" in TABLE.features()
    for absent, name in ((frozenset[str](), "tzcnt"), (frozenset({"bmi1"}), "bsf")):
        found = TABLE.decoder(64, absent)(code, 0, PC)
        assert found is not None
        assert TABLE.rows[found.row].name == name
    andn = bytes.fromhex("c4e278f2c1")
    assert TABLE.decoder(64, frozenset({"bmi1"}))(andn, 0, PC) is None


def test_keys_are_names_of_one_row_each() -> None:
    keys = [row.key for row in TABLE.rows]
    assert len(set(keys)) == len(keys)
    assert all(re.fullmatch(r"[a-z]\w*", key) for key in keys)


def test_the_decoder_is_quick() -> None:
    """5 us an instruction are promised; it takes less than half.  Room for a busy machine."""
    codes = [code for text in ROWS for code in samples(text, 64, 2)]
    random.Random(1).shuffle(codes)
    decode = TABLE.decoder(64)
    seconds = min(timeit.repeat(lambda: [decode(c, 0, PC) for c in codes], number=2, repeat=4))
    assert seconds / 2 / len(codes) < 15e-6
