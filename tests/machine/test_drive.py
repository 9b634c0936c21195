"""Drives, their options, and raw images."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

import machine.drive
from machine.drive import SECTOR, Drive, DriveError
from machine.drive_options import SHORT_FORMS, DriveOptions, open_drive, parse_drive, place
from machine.images import ImageError, open_image
from machine.images.creating import create_qcow2

ROOT = Path(__file__).parents[2]


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    path = tmp_path / "a.img"
    path.write_bytes(bytes(range(256)) * 8)
    return path


# Options


def test_all_of_a_drives_options() -> None:
    text = (
        "file=a,,b.img,format=qcow2,if=ide,media=cdrom,index=3,snapshot=on,readonly=on,cache=none"
    )
    assert parse_drive(text + ",id=cd,aio=threads") == DriveOptions(
        file="a,b.img",
        format="qcow2",
        media="cdrom",
        index=3,
        snapshot=True,
        read_only=True,
        cache="none",
        id="cd",
    )
    assert parse_drive("file=a,bus=1,unit=1").index == 3
    assert parse_drive("file=a,if=floppy,unit=1").index == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file", "-drive: file: there is no value; write file=..."),
        ("file=a,if=scsi", "-drive: if=scsi: there are ide, floppy, virtio, none"),
        ("file=a,media=tape", "-drive: media=tape: there are disk, cdrom"),
        ("file=a,index=x", "-drive: index=x: is not a number"),
        ("file=a,index=1e99", "-drive: index=1e99: is not a number"),
        ("file=a,snapshot=maybe", "-drive: snapshot=maybe: there are on, off"),
        (
            "file=a,cyls=4",
            (
                "-drive: there is no option cyls; there are file, format, if, media, index, bus,"
                " unit, snapshot, readonly, cache, id"
            ),
        ),
        (
            "file=a,cache=all",
            "-drive: cache=all: there are writeback, none, writethrough, directsync, unsafe",
        ),
    ],
)
def test_wrong_options(text: str, said: str) -> None:
    with pytest.raises(ImageError) as error:
        parse_drive(text)
    assert str(error.value) == said


def test_places() -> None:
    a, b = DriveOptions(file="a"), DriveOptions(file="b")
    first, cd = DriveOptions(file="d", index=1), SHORT_FORMS["cdrom"]
    floppy = DriveOptions(interface="floppy")
    assert place([a, first, b, cd, floppy]) == {
        ("ide", 0): a,
        ("ide", 1): first,
        ("ide", 2): cd,
        ("ide", 3): b,
        ("floppy", 0): floppy,
    }


@pytest.mark.parametrize(
    ("drives", "said"),
    [
        (
            [DriveOptions(file="a", index=0), DriveOptions(file="b", index=0)],
            "b: ide drive 0 is a already",
        ),
        (
            [DriveOptions(file=name) for name in "abcde"],
            "e: there are 4 ide drives, 0 to 3; this one would be 4",
        ),
        (
            [DriveOptions(file="a", index=2, interface="floppy")],
            "a: there are 2 floppy drives, 0 to 1; this one would be 2",
        ),
    ],
)
def test_wrong_places(drives: list[DriveOptions], said: str) -> None:
    with pytest.raises(ImageError) as error:
        place(drives)
    assert str(error.value) == said


# Opening


def test_a_disk_needs_a_file() -> None:
    with pytest.raises(ImageError) as error:
        open_drive(DriveOptions(), "ide0-hd0")
    assert str(error.value) == "-drive: ide0-hd0 is a disk and needs file="
    assert open_drive(SHORT_FORMS["cdrom"], "ide1-cd0").sectors == 0


@pytest.mark.parametrize("by", ["option", "command line"])
def test_a_snapshot_is_not_written(disk: Path, by: str) -> None:
    before = disk.read_bytes()
    options = DriveOptions(file=str(disk), snapshot=True if by == "option" else None)
    drive = open_drive(options, "hd", snapshot=by == "command line")
    drive.write_sectors(1, b"x" * SECTOR)
    drive.flush()
    assert drive.read_sectors(0, 3) == before[:512] + b"x" * 512 + before[1024:1536]
    drive.close()
    assert disk.read_bytes() == before


def test_what_is_read_only_is_not_written(disk: Path) -> None:
    for options in (
        DriveOptions(file=str(disk), read_only=True),
        DriveOptions(file=str(disk), media="cdrom"),
    ):
        drive = open_drive(options, "hd")
        with pytest.raises(DriveError) as error:
            drive.write_sectors(0, bytes(SECTOR))
        assert str(error.value) == "hd: is write-protected"
        drive.close()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: path.write_bytes(b""), "{path}: is empty"),
        (lambda path: path.mkdir(), "{path}: Is a directory"),
        (lambda path: None, "{path}: No such file or directory"),
        (os.mkfifo, "{path}: is neither a file nor a block device"),
        (
            lambda path: path.write_bytes(b"KDMV" + bytes(2000)),
            (
                "{path}: is a vmdk image, which cannot be read; qemu-img convert -O qcow2 makes"
                " one that can"
            ),
        ),
        (lambda path: path.write_bytes(b"QFI\xfb\0\0\0\3"),
         "{path}: is a truncated or damaged qcow2 image: no header"),
    ],
)  # fmt: skip
def test_what_is_no_image(make: object, said: str, tmp_path: Path) -> None:
    path = tmp_path / "image"
    assert callable(make)
    make(path)
    with pytest.raises(ImageError) as error:
        open_drive(DriveOptions(file=str(path)), "hd")
    assert str(error.value) == said.format(path=path)


def test_formats(disk: Path) -> None:
    with pytest.raises(ImageError) as error:
        open_image(str(disk), "vhd")
    assert str(error.value) == f"{disk}: there is no format vhd; there are raw and qcow2"
    with pytest.raises(ImageError) as error:
        open_image(str(disk), "qcow2")
    assert str(error.value) == f"{disk}: is a truncated or damaged qcow2 image: no header"


def test_odd_names(tmp_path: Path) -> None:
    for name, said in (("a\0b", "a\\x00b: is not a file name"), ("\x1b[2J", "No such file")):
        with pytest.raises(ImageError) as error:
            open_image(name)
        assert said in str(error.value)
        assert "\x1b" not in str(error.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anything")
def test_a_file_that_may_not_be_written(disk: Path) -> None:
    disk.chmod(0o444)
    with pytest.raises(ImageError) as error:
        open_image(str(disk))
    assert str(error.value) == (
        f"{disk}: cannot be written: Permission denied;"
        " readonly=on or snapshot=on leave it as it is"
    )


def test_a_program_that_runs_may_not_be_written(tmp_path: Path) -> None:
    path = tmp_path / "sleep"
    path.write_bytes(Path("/bin/sleep").resolve().read_bytes())
    path.chmod(0o755)
    with subprocess.Popen([path, "30"]) as program:
        try:
            with pytest.raises(ImageError) as error:
                open_image(str(path))
        finally:
            program.kill()
    assert str(error.value) == (
        f"{path}: cannot be written: Text file busy; readonly=on or snapshot=on leave it as it is"
    )


def test_an_image_is_one_drives(disk: Path) -> None:
    first = open_image(str(disk))
    for writable in (True, False):
        with pytest.raises(ImageError) as error:
            open_image(str(disk), writable=writable)
        assert str(error.value) == f"{disk}: is in use by another process, or as another drive"
    first.close()
    readers = [open_image(str(disk), writable=False) for _ in range(2)]
    for image in readers:
        image.close()


def test_qemu_keeps_off(disk: Path) -> None:
    try:
        command = ["qemu-img", "convert", "-f", "raw", str(disk), f"{disk}.copy"]
        assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        pytest.skip("no qemu-img (Debian: qemu-utils)")
    image = open_image(str(disk))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert 'Failed to get shared "write" lock' in done.stderr
    image.close()


# Raw images


def test_the_last_sector_is_filled_up(tmp_path: Path) -> None:
    path = tmp_path / "odd.img"
    path.write_bytes(b"x" * 700)
    drive = Drive(open_image(str(path)), "hd")
    assert drive.sectors == 2
    assert drive.read_sectors(1, 1) == b"x" * 188 + bytes(324)
    with pytest.raises(DriveError, match="hd: no sectors 1 to 2"):
        drive.read_sectors(1, 2)
    drive.close()


def test_a_guessed_raw_image_does_not_become_another(disk: Path, tmp_path: Path) -> None:
    create_qcow2(str(tmp_path / "q"), 1 << 20)
    header = (tmp_path / "q").read_bytes()[:SECTOR]
    said: list[str] = []
    drive = Drive(open_image(str(disk)), "hd", report=said.append)
    with pytest.raises(DriveError):
        drive.write_sectors(0, header)
    assert said == [
        f"hd: {disk}: the guest wants to make it a qcow2 image; say format=raw to let it"
    ]
    drive.write_sectors(0, b"\xeb" + bytes(511))
    drive.close()
    drive = Drive(open_image(str(disk), "raw"), "hd")
    drive.write_sectors(0, header)
    drive.close()


# What is written


def test_counters(disk: Path) -> None:
    drive = Drive(open_image(str(disk)), "hd")
    drive.read_sectors(0, 3)
    drive.write_sectors(1, bytes(1024))
    drive.flush()
    assert (drive.reads, drive.sectors_read) == (1, 3)
    assert (drive.writes, drive.sectors_written, drive.flushes) == (1, 2, 1)
    drive.close()


def test_a_medium_comes_and_goes(disk: Path) -> None:
    drive = Drive(open_image(str(disk)), "cd", is_cd=True)
    heard: list[str] = []
    drive.changed = lambda: heard.append("changed")
    drive.asked = lambda: heard.append("asked")
    drive.is_locked = True
    with pytest.raises(DriveError):
        drive.eject()
    drive.eject(force=True)
    with pytest.raises(DriveError, match="cd: there is no medium"):
        drive.read_sectors(0, 1)
    drive.insert(open_image(str(disk)))
    assert drive.read_only
    assert heard == ["asked", "changed", "changed"]
    drive.close()


def test_writing_through(tmp_path: Path) -> None:
    """Every write of a guest is in the image at once, though nobody flushes or closes it."""
    path = tmp_path / "a.qcow2"
    create_qcow2(str(path), 1 << 20)
    options = DriveOptions(file=str(path), cache="writethrough")
    drive = open_drive(options, "hd")
    drive.write_sectors(3, b"x" * SECTOR)
    copy = tmp_path / "copy.qcow2"
    copy.write_bytes(path.read_bytes())
    assert open_image(str(copy)).read(3 * SECTOR, SECTOR) == b"x" * SECTOR
    drive.close()


def test_what_nobody_flushes_settles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.drive, "SETTLE_SECONDS", 0.05)
    path, copy = tmp_path / "a.qcow2", tmp_path / "copy.qcow2"
    create_qcow2(str(path), 1 << 20)
    drive = open_drive(DriveOptions(file=str(path)), "hd")
    drive.write_sectors(3, b"x" * SECTOR)
    for _ in range(100):
        time.sleep(0.05)
        copy.write_bytes(path.read_bytes())
        image = open_image(str(copy))
        data = image.read(3 * SECTOR, SECTOR)
        image.close()
        if data == b"x" * SECTOR:
            break
    assert data == b"x" * SECTOR
    drive.close()


def test_flushing_beside_the_machine(tmp_path: Path) -> None:
    path = tmp_path / "a.qcow2"
    create_qcow2(str(path), 1 << 20)
    drive = open_drive(DriveOptions(file=str(path)), "hd")
    drive.write_sectors(3, b"x" * SECTOR)
    flush = drive.start_flush()
    flush.wait()
    assert flush.is_done
    copy = tmp_path / "copy.qcow2"
    copy.write_bytes(path.read_bytes())
    assert open_image(str(copy)).read(3 * SECTOR, SECTOR) == b"x" * SECTOR
    drive.close()
    drive.close()


def test_counted_time_does_not_see_how_long_a_flush_takes(disk: Path) -> None:
    drive = Drive(open_image(str(disk)), "hd")
    drive.waits = True
    drive.write_sectors(0, bytes(SECTOR))
    assert all(drive.start_flush().is_done for _ in range(20))
    drive.close()


TERMINATED = """
    import signal, sys, time
    from machine.drive_options import DriveOptions, open_drive
    drive = open_drive(DriveOptions(file=sys.argv[1]), "hd")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        for sector in range(1000):
            drive.write_sectors(sector, b"x" * 512)
        print("written", flush=True)
        time.sleep(60)
    finally:
        drive.close()
"""


def test_sigterm_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.qcow2"
    create_qcow2(str(path), 1 << 20)
    program = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(TERMINATED), path], stdout=subprocess.PIPE, cwd=ROOT
    )
    assert program.stdout is not None
    assert program.stdout.readline() == b"written\n"
    program.send_signal(signal.SIGTERM)
    assert program.wait(20) == 0
    program.stdout.close()
    image = open_image(str(path))
    assert image.read(0, 512_000) == b"x" * 512_000
    image.close()
