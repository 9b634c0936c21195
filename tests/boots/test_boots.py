"""Real systems boot, take what is typed, and answer. docs/guests.md tells what they are.

QEMUPY_BOOT=qemu tries the tests themselves on QEMU; QEMUPY_BOOT_PATIENCE=3 is for slow machines.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from demo.disk_image import disk_image
from tests.boots.guests import debian_linux, image, packaged
from tests.boots.harness import OURS, QEMU, Guest, boot

EMULATOR = os.environ.get("QEMUPY_BOOT", OURS)
PATIENCE = float(os.environ.get("QEMUPY_BOOT_PATIENCE", "1"))
SEABIOS = Path("/usr/share/seabios/bios-256k.bin")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800 * PATIENCE)]


@pytest.fixture(params=["embedded", "seabios"])
def bios(request: pytest.FixtureRequest) -> list[str]:
    """Options for either firmware; QEMU has only the second."""
    if request.param == "embedded":
        if EMULATOR == QEMU:
            pytest.skip("QEMU's BIOS is SeaBIOS")
        return []
    if not SEABIOS.exists():
        pytest.skip(f"no {SEABIOS} (Debian: apt-get install seabios)")
    return ["-bios", str(SEABIOS)]


@contextmanager
def booted(*options: str, bits: int = 32) -> Iterator[Guest]:
    with boot(EMULATOR, *options, bits=bits) as guest:
        yield guest


def wait(seconds: float) -> float:
    return seconds * PATIENCE


def test_our_own_disk(bios: list[str], tmp_path: Path) -> None:
    path = tmp_path / "demo.img"
    path.write_bytes(disk_image())
    with booted("-m", "64", "-drive", f"file={path},format=raw", *bios) as guest:
        screen = guest.wait_screen("Esc switches it off", wait(60))
        assert "GenuineIntel with an x87" in screen
        assert "memory    64 MiB" in screen
        guest.key("a")
        guest.wait_screen("Esc switches it off", wait(10))
        guest.key("esc")
        assert guest.wait_end(wait(20)) == 0


def freedos(*options: str) -> list[str]:
    return ["-m", "16", "-fda", str(image("freedos722.img")), "-boot", "a", *options]


def test_freedos_from_a_floppy(bios: list[str]) -> None:
    with booted(*freedos("-snapshot", *bios)) as guest:
        guest.wait_screen(r"A:\\>", wait(180))
        guest.type("dir\n")
        guest.wait_screen(r"bytes free", wait(60))
        guest.type("cls\n")
        guest.type("echo 6 times 7 > answer.txt\n")
        guest.type("type answer.txt\n")
        guest.wait_screen(r"^6 times 7", wait(60))


def test_freedos_keeps_what_was_written(bios: list[str], tmp_path: Path) -> None:
    """Written, the machine reset, and still there; and there for the next machine."""
    floppy = tmp_path / "a.img"
    floppy.write_bytes(image("freedos722.img").read_bytes())
    options = ["-m", "16", "-drive", f"file={floppy},if=floppy,format=raw", "-boot", "a", *bios]
    with booted(*options) as guest:
        guest.wait_screen(r"A:\\>", wait(180))
        guest.type("echo still here > kept.txt\n")
        guest.type("cls\n")
        guest.type("echo written\n")
        guest.wait_screen("^written", wait(30))
        guest.monitor("system_reset")
        guest.wait_screen("FreeDOS kernel", wait(120))
        guest.wait_screen(r"A:\\>", wait(180))
        guest.type("type kept.txt\n")
        guest.wait_screen("^still here", wait(30))
    assert b"still here" in floppy.read_bytes()


def test_elks(bios: list[str]) -> None:
    options = ["-m", "4", "-fda", str(image("elks-fd1440.img")), "-snapshot", *bios]
    with booted(*options) as guest:
        guest.wait_screen(r"login:|^# ?$", wait(300))


def test_mikeos(bios: list[str]) -> None:
    """A real-mode system: its list of programs, and one of them."""
    floppy = f"file={image('mikeos.flp')},format=raw,if=floppy"
    with booted("-m", "16", "-drive", floppy, "-snapshot", "-boot", "a", *bios) as guest:
        guest.wait_screen("MikeOS", wait(120))
        guest.key("ret")
        guest.wait_screen("select a file", wait(30))


def test_a_game_of_one_sector(bios: list[str], tmp_path: Path) -> None:
    """nanochess' F-Bird: the bird falls when nobody presses a key."""
    path = tmp_path / "fbird.img"
    path.write_bytes(image("fbird.com").read_bytes().ljust(1440 << 10, b"\0"))
    floppy = f"file={path},format=raw,if=floppy"
    with booted("-m", "16", "-drive", floppy, "-boot", "a", *bios) as guest:
        guest.wait_screen("F-BIRD", wait(120))
        guest.key("a")
        guest.wait_screen("BONK", wait(60))


def test_grub(bios: list[str]) -> None:
    """GRUB's rescue CD-ROM: to its prompt, and a command."""
    iso = packaged("grub-rescue-pc", "usr/lib/grub-rescue/grub-rescue-cdrom.iso")
    with booted("-m", "64", "-cdrom", str(iso), "-boot", "d", *bios) as guest:
        guest.wait_screen("Press any key|GNU GRUB", wait(180))
        guest.key("esc")
        guest.wait_screen("GNU GRUB", wait(60))
        guest.key("c")
        guest.wait_screen("grub>", wait(120))
        guest.type("echo hello\n")
        guest.wait_screen("^hello", wait(60))


def test_memtest(bios: list[str]) -> None:
    """The first tests, without an error."""
    kernel = packaged("memtest86+", "boot/memtest86+ia32.bin")
    with booted("-m", "16", "-kernel", str(kernel), *bios) as guest:
        guest.wait_screen(r"Memtest86\+", wait(120))
        screen = guest.wait_screen(r"Test #[4-9]", wait(300))
        assert "Errors: 0" in screen


def test_ipxe(bios: list[str]) -> None:
    kernel = packaged("ipxe", "boot/ipxe.lkrn")
    with booted("-m", "64", "-kernel", str(kernel), *bios) as guest:
        guest.wait_screen("Ctrl-B", wait(180))
        guest.key("ctrl-b")
        guest.wait_screen("iPXE>", wait(60))
        guest.type("echo hello\n")
        guest.wait_screen("^hello", wait(60))


@pytest.fixture(params=["i386", "amd64"])
def architecture(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_linux_to_a_shell(architecture: str, bios: list[str], tmp_path: Path) -> None:
    """mount, dmesg, dd from a disk and a CD-ROM, and poweroff ends the process."""
    guest_files = debian_linux(architecture)
    disk, cd = tmp_path / "disk.img", tmp_path / "cd.iso"
    disk.write_bytes(os.urandom(8 << 20))
    cd.write_bytes(os.urandom(4 << 20))
    options = [
        "-m", "256", "-kernel", str(guest_files.kernel), "-initrd", str(guest_files.initrd),
        "-append", "console=tty0 console=ttyS0",
        "-drive", f"file={disk},format=raw", "-cdrom", str(cd), *bios,
    ]  # fmt: skip
    with booted(*options, bits=64 if architecture == "amd64" else 32) as guest:
        guest.wait("/ # ", wait(600))
        guest.wait_screen("built-in shell", wait(60))
        assert "devtmpfs" in guest.run("mount", wait(30))
        assert "Linux version 6.1" in guest.run("dmesg | head -5", wait(30))
        for name, path in (("sda", disk), ("sr0", cd)):
            size = path.stat().st_size
            line = f"dd if=/dev/{name} bs=64k 2>/dev/null | md5sum"
            assert md5(path.read_bytes()[:size]) in guest.run(line, wait(120))
        guest.run("echo a new beginning | dd of=/dev/sda conv=sync 2>/dev/null; sync", wait(60))
        guest.send("poweroff -f\n")
        assert guest.wait_end(wait(60)) == 0
    assert disk.read_bytes().startswith(b"a new beginning\n")


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def test_debian_installer(architecture: str) -> None:
    """To the first dialog on the serial line."""
    package = f"debian-installer-12-netboot-{architecture}"
    place = (
        f"usr/lib/debian-installer/images/12/{architecture}/text/debian-installer/{architecture}"
    )
    kernel = packaged(package, f"{place}/linux", architecture)
    options = [
        "-m", "512", "-kernel", str(kernel), "-initrd", str(kernel.with_name("initrd.gz")),
        "-append", "console=ttyS0",
    ]  # fmt: skip
    with booted(*options, bits=64 if architecture == "amd64" else 32) as guest:
        guest.wait("Select a language", wait(900))
