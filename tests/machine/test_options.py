"""The command line: what it means, and one clear line where it means nothing."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machine.errors import MachineError
from machine.options import OPTIONS, Settings, read_options


def read(line: str) -> Settings:
    return read_options(shlex.split(line))


def test_disks() -> None:
    drives = read("a.img -hdb b -cdrom c.iso -fda f -drive file=x,,y,if=virtio,format=raw").drives
    assert [(d.file, d.interface, d.index, d.media) for d in drives] == [
        ("a.img", "ide", 0, "disk"),
        ("b", "ide", 1, "disk"),
        ("c.iso", "ide", 2, "cdrom"),
        ("f", "floppy", 0, "disk"),
        ("x,y", "virtio", None, "disk"),
    ]


@pytest.mark.parametrize(
    ("text", "size"),
    [("64", 64 << 20), ("1G", 1 << 30), ("512K", None), ("8M", 8 << 20), ("size=2048k", 2 << 20)],
)
def test_memory(text: str, size: int | None) -> None:
    if size is None:
        with pytest.raises(MachineError, match="1M to 64G"):
            read(f"-m {text}")
    else:
        assert read(f"-m {text}").memory == size


def test_two_dashes_do_too() -> None:
    assert read("--m 64 --nographic").no_graphic


def test_boot_clock_and_count() -> None:
    settings = read("-boot order=dc,menu=on,once=a -icount shift=2 -rtc base=2024-02-29T23:59:58")
    assert (settings.boot.order, settings.boot.once, settings.boot.menu) == ("dc", "a", True)
    assert settings.icount == 2
    assert str(settings.rtc.base) == "2024-02-29 23:59:58+00:00"


def test_characters() -> None:
    settings = read(
        "-serial mon:stdio -serial tcp:[::1]:4000,server,nowait -serial file:a:b"
        " -chardev socket,id=c,host=h,port=5,server=on,wait=off -monitor chardev:c"
    )
    first, second, third = settings.serial
    assert (first.kind, first.mux, first.has_monitor, first.signals) == ("stdio", True, True, False)
    assert (second.host, second.port, second.is_server, second.waits) == ("::1", 4000, True, False)
    assert (third.kind, third.path) == ("file", "a:b")
    named = settings.characters["c"]
    assert (named.kind, named.port, named.is_server, named.waits) == ("socket", 5, True, False)


def test_qemu_calls_the_default_tcg() -> None:
    assert read("-accel tcg,thread=multi").accelerator == "jit"
    assert read("-machine pc,accel=interp").accelerator == "interp"


SERIAL_HELP = (
    "-serial com1: write stdio, file:name, pty, tcp:host:port, null, none,"
    " chardev:id, or mon: before one of them"
)
TIME_HELP = "-rtc base: never is no time; write utc, localtime or 2024-02-29T23:59:58"
BOOT_HELP = (
    "-boot order=z: write each once: a and b for floppies, c for the hard disk,"
    " d for CD-ROM, n for the network"
)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("-foo", "there is no option -foo; -h lists them"),
        ("-hda", "-hda needs a value: -hda file"),
        ("-m 0", "-m 0: the size must be above zero"),
        ("-m 1Z", "-m 1Z: write a size like 64, 512K, 128M or 1G"),
        ("-smp 4", "-smp 4: a machine has one processor; leave -smp out"),
        ("-device x", "-device: there is no x; -device help lists them"),
        (
            "-device isa-debug-exit,io=1",
            "-device isa-debug-exit io=1: there is no io; there are iobase, iosize, id",
        ),
        ("-hda a -hda b", "b: ide drive 0 is a already"),
        ("-append x", "-append goes with -kernel"),
        ("-vga qxl", "-vga: there is no qxl; there are std, none"),
        ("-machine q35", "-machine: there is no q35; there are pc"),
        ("-serial com1", SERIAL_HELP),
        ("-serial tcp:nowhere", "-serial tcp:nowhere: write tcp:host:port[,server][,nowait]"),
        ("-serial chardev:x", "chardev:x: there is no -chardev with that id"),
        ("-chardev stdio", "-chardev stdio: it needs a name: id=name"),
        ("-rtc base=never", TIME_HELP),
        ("-enable-kvm", "there is no KVM here; -accel help lists what there is"),
        ("-accel hax", "-accel: there is no hax; there are jit, threaded, interp"),
        ("-boot z", BOOT_HELP),
        ("-device virtio-blk-pci,drive=d", "-device virtio-blk-pci: there is no -drive with id=d"),
        ("-drive file=a,if=scsi", "-drive: if=scsi: there are ide, floppy, virtio, none"),
        ("-nic user", "there is no network card: write -nic none instead of user"),
        ("-icount shift=99", "-icount shift: 99 is not between 0 and 10"),
    ],
)
def test_mistakes(line: str, message: str) -> None:
    with pytest.raises(MachineError) as caught:
        read(line)
    assert str(caught.value) == message


NAMES = [f"-{name}" for option in OPTIONS for name in option.names]
VALUES = st.one_of(
    st.text(max_size=20),
    st.lists(
        st.sampled_from(
            "file= if= ide , ,, = on off stdio tcp: : 1 -1 0x10 999999999999 server id= mon: base="
            " order= shift= size= \0 \n \x1b %s 1e999 .5G".split(" ")
        ),
        max_size=6,
    ).map("".join),
)


@given(st.lists(st.one_of(st.sampled_from(NAMES), VALUES), max_size=8))
def test_whatever_is_written_is_read_or_refused_in_one_line(words: list[str]) -> None:
    if "-fw_cfg" in words:  # reads files
        return
    message = "fine"
    try:
        read_options(words)
    except MachineError as error:
        message = error.message
    assert message
    assert "\n" not in message
