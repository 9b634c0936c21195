"""-kernel: headers are read, places chosen, fields written; bad files are told in one line."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from machine.errors import MachineError
from machine.firmware.bios import BiosOptions
from machine.firmware.call import Guest
from machine.firmware.kernel import read_kernel
from machine.firmware.linux import LinuxKernel, read_header, video_mode
from machine.firmware.multiboot import MultibootKernel, find_header
from tests.machine.fakes import Ram
from tests.machine.firmware.harness import Pc

MB = 1 << 20


def image(protocol: int = 0x20F, loadflags: int = 1, code: bytes = b"code", **fields: int) -> bytes:
    """A bzImage whose setup code has one sector beside the boot sector."""
    setup = bytearray(1024)
    setup[0x1F1] = 1
    setup[0x1FE:0x200] = b"\x55\xaa"
    setup[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", setup, 0x206, protocol)
    setup[0x211] = loadflags
    struct.pack_into("<I", setup, 0x1F4, -(-len(code) // 16))
    struct.pack_into("<I", setup, 0x22C, fields.get("initrd_addr_max", 0x7FFFFFFF))
    struct.pack_into("<I", setup, 0x238, fields.get("cmdline_size", 2047))
    return bytes(setup) + code


def loaded(
    data: bytes, initrd: bytes = b"", append: str = "", ram: int = 32 * MB
) -> tuple[Ram, object]:
    memory = Ram(ram)
    jump = LinuxKernel("k", data, initrd, append, ram).load(Guest(memory))
    return memory, jump


def word(memory: Ram, at: int, size: int = 4) -> int:
    return int.from_bytes(memory.read(at, size), "little")


def test_a_new_kernel_and_its_places() -> None:
    memory, jump = loaded(image(), initrd=b"I" * 5000, append="a=b")
    assert (jump.segment, jump.offset, jump.data) == (0x1020, 0, 0x1000)  # type: ignore[attr-defined]
    assert memory.read(MB, 4) == b"code" and memory.read(0x20000, 4) == b"a=b\0"
    initrd, size = word(memory, 0x10218), word(memory, 0x1021C)
    assert size == 5000 and initrd % 4096 == 0 and memory.read(initrd, 5001) == b"I" * 5000 + b"\0"
    assert initrd + size <= 32 * MB - 0x80000
    assert word(memory, 0x10228) == 0x20000 and memory.read(0x10210, 2) == b"\xff\x81"
    assert word(memory, 0x10224, 2) == 0xFE00


def test_the_initrd_stays_below_what_the_kernel_says() -> None:
    memory, _ = loaded(image(initrd_addr_max=16 * MB - 1), initrd=b"I" * 100)
    assert word(memory, 0x10218) == 16 * MB - 4096


@pytest.mark.parametrize(
    ("protocol", "flags", "setup", "code"),
    [(0x201, 1, 0x90000, MB), (0x200, 0, 0x90000, 0x10000), (0x20F, 0, 0x90000, 0x10000)],
)
def test_old_kernels(protocol: int, flags: int, setup: int, code: int) -> None:
    memory, jump = loaded(image(protocol, flags), append="root=x")
    assert jump.segment == (setup >> 4) + 0x20  # type: ignore[attr-defined]
    assert memory.read(code, 4) == b"code"
    if protocol < 0x202:
        assert word(memory, setup + 0x20, 2) == 0xA33F
        line = setup + word(memory, setup + 0x22, 2)
    else:
        line = word(memory, setup + 0x228)
    assert memory.read(line, 7) == b"root=x\0" and line < 0x9A000


def test_a_kernel_without_the_magic_is_of_protocol_0() -> None:
    data = bytearray(image())
    data[0x202:0x206] = b"xxxx"
    assert read_header(bytes(data), "k").protocol == 0


@pytest.mark.parametrize(
    ("append", "mode"),
    [
        ("vga=ask", 0xFFFD),
        ("a vga=0x317", 0x317),
        ("vga=normal vga=ext", 0xFFFE),
        ("vga=x", None),
        ("", None),
    ],
)
def test_video_modes(append: str, mode: int | None) -> None:
    assert video_mode(append) == mode


NO_FLAG = "-kernel k has no boot header: the bytes 55 aa are not at offset 510"
ELF = """-kernel k is an ELF file without a Multiboot header; Linux boots from its bzImage\
 (arch/x86/boot/bzImage, /boot/vmlinuz-*)"""
CUT = "-kernel k: it is truncated: 3976 bytes follow the setup code instead of 100000"
TOO_BIG = """-kernel k has 2097152 bytes, for which there is no room in 2 MB of memory; -m gives it\
 more"""
NO_ROOM = (
    """-initrd: 9437184 bytes do not fit beside the kernel in 8 MB of memory; -m gives it more"""
)
LONG = "-append: 11 characters are too many, this kernel takes 10"


@pytest.mark.parametrize(
    ("data", "extra", "message"),
    [
        (b"", {}, "-kernel k: 0 bytes are no kernel"),
        (bytes(4096), {}, NO_FLAG),
        (b"\x7fELF" + bytes(4096), {}, ELF),
        (image()[:1024], {}, "-kernel k: it is truncated: only its setup code is there"),
        (image(code=bytes(99999))[:5000], {}, CUT),
        (image(code=bytes(2 * MB)), {"below_4g": 2 * MB}, TOO_BIG),
        (image(), {"initrd": bytes(9 * MB), "below_4g": 8 * MB}, NO_ROOM),
        (image(cmdline_size=10), {"append": "12345678901"}, LONG),
    ],
)
def test_mistakes_are_told(data: bytes, extra: dict[str, object], message: str) -> None:
    given: dict[str, object] = {"initrd": b"", "append": "", "below_4g": 32 * MB, **extra}
    with pytest.raises(MachineError) as caught:
        LinuxKernel("k", data, given["initrd"], given["append"], given["below_4g"])  # type: ignore[arg-type]
    assert caught.value.message == message


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match=r"^-kernel .*/none: No such file or directory$"):
        read_kernel(f"{tmp_path}/none", below_4g=MB)
    with pytest.raises(MachineError, match=r"that is a directory$"):
        read_kernel(str(tmp_path), below_4g=MB)


@settings(max_examples=300)
@given(st.binary(max_size=120), st.integers(0x1E0, 0x270), st.booleans())
def test_random_headers_end_well(noise: bytes, at: int, cut: bool) -> None:
    data = bytearray(image(code=bytes(3000)))
    data[at : at + len(noise)] = noise
    if cut:
        del data[at + len(noise) :]
    try:
        kernel = LinuxKernel("k", bytes(data), b"initrd", "x", 4 * MB)
    except MachineError:
        return
    memory = Ram(4 * MB)
    jump = kernel.load(Guest(memory))
    assert jump.segment in {0x1020, 0x9020}


# Multiboot

# Writes M and a part of the memory's size to port E9h, then ends.
MULTIBOOT_CODE = bytes.fromhex("b04d e6e9 8a4308 e6e9 b000 e6f4 f4 ebfd".replace(" ", ""))


def multiboot(flags: int = 0, code: bytes = MULTIBOOT_CODE) -> bytes:
    header = struct.pack("<III", 0x1BADB002, flags, -(0x1BADB002 + flags) & 0xFFFFFFFF)
    if flags & 1 << 16:
        header += struct.pack("<5I", MB, MB, 0, MB + 4096, MB + 32)
        return header + code
    at = 52 + 32
    elf = b"\x7fELF\1\1\1".ljust(16, b"\0") + struct.pack(
        "<HHIIIIIHHHHHH", 2, 3, 1, MB + at + 12, 52, 0, 0, 52, 32, 1, 0, 0, 0
    )
    size = at + 12 + len(code)
    elf += struct.pack("<8I", 1, 0, MB, MB, size, size + 100, 7, 4096)
    return elf + header + code


@pytest.mark.parametrize("flags", [0, 1 << 16])
def test_a_multiboot_kernel_runs_in_protected_mode(tmp_path: Path, flags: int) -> None:
    path = tmp_path / "kernel"
    path.write_bytes(multiboot(flags))
    pc = Pc(options=BiosOptions(kernel=read_kernel(str(path), append="x y", below_4g=16 * MB)))
    for _ in range(50):
        if pc.exit_status is None:
            pc.run(1)
    assert bytes(pc.text) == b"M" + bytes((15 << 10 & 0xFF,))
    assert pc.registers["eax"] & ~0xFF == 0x2BADB002 & ~0xFF
    info = pc.registers["ebx"]
    line = int.from_bytes(pc.read(info + 16, 4), "little")
    assert pc.read(line, len(str(path)) + 5) == f"{path} x y\0".encode()


@settings(max_examples=200)
@given(st.binary(max_size=60), st.integers(0, 100), st.sampled_from([0, 1 << 16]))
def test_random_multiboot_kernels_end_well(noise: bytes, at: int, flags: int) -> None:
    data = bytearray(multiboot(flags))
    data[at : at + len(noise)] = noise
    if find_header(bytes(data)) is None:
        return
    try:
        kernel = MultibootKernel("k", bytes(data), "", [], 4 * MB)
    except MachineError:
        return
    kernel.load(Guest(Ram(4 * MB)))
