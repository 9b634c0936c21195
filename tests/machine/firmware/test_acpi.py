"""ACPI, MP and SMBIOS tables: iasl reads them without complaint, and finds what QEMU's have."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
import time
from pathlib import Path

import pytest

from machine.firmware.acpi_tables import AcpiLayout, build_acpi, loader_files
from machine.firmware.mp_table import mp_table
from machine.firmware.pci_bios import routing_table
from machine.firmware.smbios import smbios_tables
from tests.machine.firmware.harness import Pc
from tests.machine.test_qemu import QEMU

BASE = 0x7FF_C000


def tables(layout: AcpiLayout) -> dict[str, bytes]:
    found = {}
    for start, length in layout.checksums:
        table = layout.tables[start : start + length]
        assert sum(table) & 0xFF == 0
        found[table[:4].decode()] = table
    return found


def test_the_pointers_lead_from_one_to_the_other() -> None:
    layout = build_acpi(BASE)
    assert layout.rsdp[:8] == b"RSD PTR " and sum(layout.rsdp) & 0xFF == 0
    (root,) = struct.unpack_from("<I", layout.rsdp, 16)
    assert layout.tables[root - BASE :][:4] == b"RSDT"
    (length,) = struct.unpack_from("<I", layout.tables, root - BASE + 4)
    names = []
    for (at,) in struct.iter_unpack("<I", layout.tables[root - BASE + 36 : root - BASE + length]):
        names.append(layout.tables[at - BASE :][:4])
    assert names == [b"FACP", b"APIC", b"HPET"]
    facs, dsdt = struct.unpack_from("<II", tables(layout)["FACP"], 36)
    assert layout.tables[facs - BASE :][:4] == b"FACS" and facs % 64 == 0
    assert layout.tables[dsdt - BASE :][:4] == b"DSDT"


@pytest.mark.parametrize("has_hpet", [True, False])
def test_what_is_not_there_is_not_told(has_hpet: bool) -> None:
    layout = build_acpi(BASE, has_hpet=has_hpet)
    assert ("HPET" in tables(layout)) == has_hpet
    assert (b"HPET" in tables(layout)["DSDT"]) == has_hpet


@pytest.mark.skipif(not shutil.which("iasl"), reason="no iasl (package acpica-tools)")
@pytest.mark.parametrize("name", ["DSDT", "FACP", "APIC", "HPET", "RSDT"])
def test_iasl_reads_and_compiles_it_again(name: str, tmp_path: Path) -> None:
    table = tables(build_acpi(BASE))[name]
    (tmp_path / "t.aml").write_bytes(table)
    run = subprocess.run(
        ["iasl", "-d", "t.aml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0 and not re.search("Warning|Error|Invalid", run.stdout + run.stderr)
    again = subprocess.run(
        ["iasl", "-p", "again", "t.dsl"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "0 Errors" in again.stdout + again.stderr or again.returncode == 0, again.stdout
    text = (tmp_path / "t.dsl").read_text()
    facts = {
        "DSDT": [r"_S5, Package", r'EisaId \("PNP0A03"\)', r"0x0001FFFF"],
        "FACP": [r"SCI Interrupt : 0009", r"PM1A Event Block Address : 00000600",
                 r"ACPI Enable Value : F1", r"Reset Register Supported .* : 1"],
        "APIC": [r"Source : 00\s*\n.*Interrupt : 00000002", r"Source : 0A"],
        "HPET": [r"Base Address|Address : 00000000FED00000"],
    }  # fmt: skip
    for fact in facts.get(name, []):
        assert re.search(fact, text), fact


def test_the_loaders_script_names_every_pointer_and_checksum() -> None:
    files = loader_files()
    script, blob = files["etc/table-loader"], files["etc/acpi/tables"]
    commands = [script[at : at + 128] for at in range(0, len(script), 128)]
    assert [struct.unpack_from("<I", one)[0] for one in commands][:2] == [1, 1]
    for one in commands:
        (code,) = struct.unpack_from("<I", one)
        name = one[4:60].rstrip(b"\0").decode()
        if code == 2:
            offset, size = struct.unpack_from("<IB", one, 116)
            value = int.from_bytes(files[name][offset : offset + size], "little")
            assert size == 4 and value < len(blob)
        if code == 3:
            at, start, length = struct.unpack_from("<III", one, 60)
            assert start <= at < start + length <= len(files[name])


def test_the_mp_table_sums_up_and_counts_its_entries() -> None:
    data = mp_table(0xF3000)
    assert data[:4] == b"_MP_" and sum(data[:16]) & 0xFF == 0
    assert struct.unpack_from("<I", data, 4) == (0xF3010,)
    table = data[16:]
    signature, length, _, _ = struct.unpack_from("<4sHBB", table)
    assert signature == b"PCMP" and length == len(table) and sum(table) & 0xFF == 0
    (count,) = struct.unpack_from("<H", table, 34)
    at = 44
    for _ in range(count):
        at += 20 if table[at] == 0 else 8
    assert at == length


def test_smbios() -> None:
    (data,) = smbios_tables(0xF4000)
    assert data[:4] == b"_SM_" and sum(data[:31]) & 0xFF == 0
    assert data[16:21] == b"_DMI_" and sum(data[16:31]) & 0xFF == 0
    length, address, count = struct.unpack_from("<HIH", data, 22)
    table = data[address - 0xF4000 :][:length]
    kinds = []
    while table:
        kinds.append(table[0])
        table = table[table.index(b"\0\0", table[1]) + 2 :]
    assert kinds == [0, 1, 3, 127] and count == 4


def test_the_rom_has_what_software_searches_for() -> None:
    pc = Pc()
    rom = pc.bios.rom
    assert len(rom) == 0x10000 and sum(rom) & 0xFF == 0
    for signature, length in ((b"RSD PTR ", 20), (b"_MP_", 16), (b"_SM_", 31), (b"_32_", 16)):
        places = [at for at in range(0, 0x10000, 16) if rom.startswith(signature, at)]
        assert len(places) == 1, signature
        assert sum(rom[places[0] : places[0] + length]) & 0xFF == 0
    (pir,) = (at for at in range(0, 0x10000, 16) if rom.startswith(b"$PIR", at))
    (size,) = struct.unpack_from("<H", rom, pir + 6)
    assert sum(rom[pir : pir + size]) & 0xFF == 0 and size == len(routing_table(pc.board.pci))
    assert rom[0xFFF0] == 0xEA and rom[0xFFFE] == 0xFC
    (at,) = (at for at in range(0, 0x10000, 16) if rom.startswith(b"_MP_", at))
    assert struct.unpack_from("<I", rom, at + 4) == (0xF0000 + at + 16,)
    (at,) = (at for at in range(0, 0x10000, 16) if rom.startswith(b"_SM_", at))
    assert rom[struct.unpack_from("<I", rom, at + 24)[0] - 0xF0000 + 1] == 24  # BIOS information


@pytest.fixture(scope="module")
def qemus(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """QEMU's tables, out of the memory of a machine whose BIOS has found nothing to boot."""
    if QEMU is None:
        pytest.skip("no qemu-system-i386")
    dump = tmp_path_factory.mktemp("qemu") / "memory"
    with subprocess.Popen(
        [QEMU, "-m", "16", "-display", "none", "-net", "none", "-monitor", "stdio"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    ) as process:
        assert process.stdin is not None
        for _ in range(20):
            time.sleep(0.5)
            process.stdin.write(f'pmemsave 0 0x1000000 "{dump}"\n'.encode())
            process.stdin.flush()
            time.sleep(0.5)
            memory = dump.read_bytes() if dump.exists() else b""
            if memory.find(b"RSD PTR ", 0xE0000) >= 0:
                break
        process.stdin.write(b"quit\n")
    at = memory.find(b"RSD PTR ", 0xE0000)
    assert at >= 0
    (root,) = struct.unpack_from("<I", memory, at + 16)
    (length,) = struct.unpack_from("<I", memory, root + 4)
    found = {}
    for (pointer,) in struct.iter_unpack("<I", memory[root + 36 : root + length]):
        (size,) = struct.unpack_from("<I", memory, pointer + 4)
        found[memory[pointer : pointer + 4].decode()] = memory[pointer : pointer + size]
    (dsdt,) = struct.unpack_from("<I", found["FACP"], 40)
    (size,) = struct.unpack_from("<I", memory, dsdt + 4)
    return found | {"DSDT": memory[dsdt : dsdt + size]}


def test_fixed_hardware_is_where_qemus_is(qemus: dict[str, bytes]) -> None:
    """SCI, SMI command, ACPI_ENABLE, event, control, timer and GPE blocks with their lengths."""
    ours, theirs = tables(build_acpi(BASE))["FACP"], qemus["FACP"]
    for start, end in ((46, 54), (56, 84), (88, 90), (91, 93)):
        assert ours[start:end] == theirs[start:end], start
    assert ours[108] == theirs[108], "the century in CMOS"


def test_interrupt_controllers_are_qemus(qemus: dict[str, bytes]) -> None:
    def entries(table: bytes) -> set[bytes]:
        found, at = set(), 44
        while at < len(table):
            found.add(table[at : at + table[at + 1]])
            at += table[at + 1]
        return found

    ours, theirs = tables(build_acpi(BASE))["APIC"], qemus["APIC"]
    assert ours[36:44] == theirs[36:44]
    assert entries(ours) == entries(theirs)


def test_the_hpet_is_qemus(qemus: dict[str, bytes]) -> None:
    assert tables(build_acpi(BASE))["HPET"][36:] == qemus["HPET"][36:]


def test_soft_off_is_qemus(qemus: dict[str, bytes]) -> None:
    def soft_off(table: bytes) -> bytes:
        at = table.index(b"_S5_")
        return table[at : at + 11]

    assert soft_off(tables(build_acpi(BASE))["DSDT"])[-4:] == soft_off(qemus["DSDT"])[-4:]
