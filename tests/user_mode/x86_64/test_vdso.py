"""The vDSOs with clocks: what is in them is their source, and readers of ELF find it."""

from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

import user_mode.abi
from user_mode.abi.i386 import vdso as vdso_32
from user_mode.abi.x86.shared_object import SharedObject
from user_mode.abi.x86_64 import vdso as vdso_64

FOLDER = Path(user_mode.abi.__file__).parent
VDSOS = [
    pytest.param("i386", "--32", vdso_32.CLOCKS, vdso_32.CLOCKS_AT, id="i386"),
    pytest.param("x86_64", "--64", vdso_64.CODE, vdso_64.PLACES, id="x86_64"),
]


@pytest.mark.parametrize(("machine", "option", "code", "places"), VDSOS)
def test_the_bytes_are_what_the_source_says(
    machine: str, option: str, code: bytes, places: dict[str, int], tmp_path: Path
) -> None:
    if not all(map(shutil.which, ("as", "objcopy", "nm"))):
        pytest.skip("there is no assembler here: apt-get install binutils")
    made, plain = tmp_path / "vdso.o", tmp_path / "vdso"
    source = FOLDER / machine / "vdso.s"
    subprocess.run(["as", option, "-o", made, source], check=True)
    subprocess.run(["objcopy", "-O", "binary", "-j", ".text", made, plain], check=True)
    assert plain.read_bytes() == code
    listed = subprocess.run(["nm", made], check=True, capture_output=True, text=True).stdout
    symbols = {name: int(value, 16) for value, _, name in map(str.split, listed.splitlines())}
    assert {name: symbols[name.removeprefix("__vdso_")] for name in places} == places


@pytest.mark.parametrize("vdso", [vdso_32.VDSO, vdso_64.VDSO], ids=["i386", "x86_64"])
def test_all_names_have_the_version_that_libraries_ask_for(vdso: SharedObject) -> None:
    elf = ELFFile(io.BytesIO(vdso.image))
    (dynamic,) = [one for one in elf.iter_segments() if one["p_type"] == "PT_DYNAMIC"]
    tags = {tag.entry.d_tag: tag.entry.d_val for tag in dynamic.iter_tags()}
    assert tags["DT_VERDEFNUM"] == 2
    at = tags["DT_VERDEF"]
    at += int.from_bytes(vdso.image[at + 16 : at + 20], "little")
    assert vdso.image[at + 4 : at + 6] == b"\x02\0"
    assert int.from_bytes(vdso.image[at + 8 : at + 12], "little") == 0x3AE75F6
    name = tags["DT_STRTAB"] + int.from_bytes(vdso.image[at + 20 : at + 24], "little")
    assert vdso.image[name : name + 10] == b"LINUX_2.6\0"
    count = len(vdso.symbols)
    versions = vdso.image[tags["DT_VERSYM"] : tags["DT_VERSYM"] + 2 + 2 * count]
    assert versions == bytes(2) + b"\x02\0" * count
