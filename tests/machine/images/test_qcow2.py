"""qcow2 images beside a model in memory and qemu-img: random writes, damage, kill -9."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from machine.images import Image, ImageError, open_image, overlay_of
from machine.images.creating import create_qcow2
from machine.images.qcow2 import Qcow2Image

QEMU_IMG = shutil.which("qemu-img")
ROOT = Path(__file__).parents[3]
SEED = int(os.environ.get("QEMUPY_SEED", "1"))

T = TypeVar("T")

needs_qemu_img = pytest.mark.skipif(QEMU_IMG is None, reason="no qemu-img (Debian: qemu-utils)")


def qemu_img(*arguments: str | Path, status: int = 0) -> str:
    assert QEMU_IMG is not None
    done = subprocess.run(
        [QEMU_IMG, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


def make(path: Path, size: int, *options: str, backing: Path | None = None) -> Path:
    behind = ["-b", str(backing), "-F", "qcow2"] if backing else []
    joined = ",".join(options)
    qemu_img("create", "-q", "-f", "qcow2", *(["-o", joined] if joined else []), *behind,
             path, str(size))  # fmt: skip
    return path


def check(path: Path) -> None:
    """No errors and no leaks."""
    if QEMU_IMG is not None:
        qemu_img("check", "-q", path)


def same(path: Path, content: bytes | bytearray, tmp_path: Path) -> None:
    raw = tmp_path / "content.raw"
    raw.write_bytes(content)
    qemu_img("compare", "-q", "-f", "qcow2", "-F", "raw", path, raw)


def scribble(image: Image, model: bytearray, rng: random.Random, count: int) -> None:
    """Random reads and writes, compared with the model."""
    for _ in range(count):
        at = rng.randrange(len(model))
        length = min(len(model) - at, rng.choice((1, 512, 4096, 70_000, 300_000)))
        if rng.random() < 0.5:
            data = rng.randbytes(length)
            image.write(at, data)
            model[at : at + length] = data
        else:
            assert image.read(at, length) == model[at : at + length]
        if rng.random() < 0.05:
            image.flush()


LAYOUTS = [
    *(("compat=0.10", "cluster_size=65536"), ("compat=0.10", "cluster_size=512")),
    *((f"refcount_bits={1 << order}", "cluster_size=1024") for order in range(7)),
    *(("cluster_size=2M",), ("cluster_size=4096", "lazy_refcounts=on")),
    ("preallocation=metadata",),
]  # fmt: skip


@needs_qemu_img
@pytest.mark.parametrize("options", LAYOUTS, ids=",".join)
def test_random_writes(options: tuple[str, ...], tmp_path: Path) -> None:
    rng = random.Random(SEED)
    path = make(tmp_path / "a.qcow2", 5 << 20, *options)
    model = bytearray(5 << 20)
    for _ in range(2):
        image = open_image(str(path))
        scribble(image, model, rng, 80)
        image.close()
        check(path)
        same(path, model, tmp_path)


@needs_qemu_img
def test_refcount_tables_grow(tmp_path: Path) -> None:
    """A table of one cluster of 512 bytes counts 8 MiB."""
    path = make(tmp_path / "a.qcow2", 40 << 20, "cluster_size=512")
    image = open_image(str(path))
    data = random.Random(SEED).randbytes(1 << 20)
    for megabyte in range(30):
        image.write(megabyte << 20, data)
    image.close()
    check(path)
    same(path, data * 30 + bytes(10 << 20), tmp_path)


@needs_qemu_img
def test_snapshots_are_kept(tmp_path: Path) -> None:
    path = make(tmp_path / "a.qcow2", 3 << 20, "cluster_size=4096")
    rng, model, kept = random.Random(SEED), bytearray(3 << 20), {}
    for name in ("one", "two", "three"):
        image = open_image(str(path))
        scribble(image, model, rng, 40)
        image.close()
        check(path)
        qemu_img("snapshot", "-c", name, path)
        kept[name] = bytes(model)
    image = open_image(str(path))
    scribble(image, model, rng, 40)
    image.close()
    check(path)
    for name, content in kept.items():
        qemu_img("convert", "-O", "raw", "-l", name, path, tmp_path / name)
        assert (tmp_path / name).read_bytes() == content
    same(path, model, tmp_path)


@needs_qemu_img
def test_compressed_and_zero_clusters(tmp_path: Path) -> None:
    """As `qemu-img convert -c` makes them; writing to them gives up their place."""
    rng = random.Random(SEED)
    parts = [rng.randbytes(500) * 300, bytes(200_000), rng.randbytes(100_000), b"ab" * 150_000]
    content = b"".join(parts * 3)
    content = content.ljust(-(-len(content) // 512) * 512, b"\0")
    (tmp_path / "raw").write_bytes(content)
    path = tmp_path / "a.qcow2"
    qemu_img("convert", "-c", "-S", "0", "-f", "raw", "-O", "qcow2", tmp_path / "raw", path)
    image = open_image(str(path))
    model = bytearray(content)
    assert image.read(0, len(content)) == content
    scribble(image, model, rng, 60)
    image.close()
    check(path)
    same(path, model, tmp_path)


@needs_qemu_img
def test_zero_clusters_hide_the_backing_file(tmp_path: Path) -> None:
    qemu_io = shutil.which("qemu-io")
    if qemu_io is None:
        pytest.skip("no qemu-io")
    base = make(tmp_path / "base.qcow2", 1 << 20)
    image = open_image(str(base))
    image.write(0, b"x" * (1 << 20))
    image.close()
    path = make(tmp_path / "top.qcow2", 1 << 20, backing=base)
    commands = ["-c", "write -z 65536 131072", "-c", "write -P 5 0 1000"]
    subprocess.run([qemu_io, *commands, path], check=True, capture_output=True)
    image = open_image(str(path))
    assert image.read(0, 2000) == b"\5" * 1000 + b"x" * 1000
    assert image.read(65536, 131072) == bytes(131072)
    image.write(70_000, b"y")
    assert image.read(65536, 10_000) == bytes(4464) + b"y" + bytes(5535)
    assert image.read(196608, 10) == b"x" * 10
    image.close()
    check(path)


@needs_qemu_img
def test_a_chain_of_backing_files(tmp_path: Path) -> None:
    """Each is larger than the one behind it, and the last is raw."""
    rng = random.Random(SEED)
    model = bytearray(rng.randbytes(1 << 20))
    (tmp_path / "base").write_bytes(model)
    qemu_img("create", "-q", "-f", "qcow2", "-F", "raw", "-b", "base", tmp_path / "1", "2M")
    for number in range(1, 6):
        model.extend(bytes((number + 1 << 20) - len(model)))
        image = open_image(str(tmp_path / str(number)))
        scribble(image, model, rng, 20)
        image.close()
        check(tmp_path / str(number))
        name = str(tmp_path / str(number + 1))
        qemu_img(
            "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", str(number), name,
            str(number + 2 << 20),
        )  # fmt: skip
    same(tmp_path / "5", model, tmp_path)


def test_our_own_images(tmp_path: Path) -> None:
    for bits, order in ((9, 0), (12, 2), (16, 4), (21, 6)):
        path = tmp_path / f"{bits}.qcow2"
        create_qcow2(str(path), 1 << 20, cluster_bits=bits, refcount_order=order)
        check(path)
        image = open_image(str(path))
        model = bytearray(1 << 20)
        scribble(image, model, random.Random(SEED), 50)
        image.close()
        check(path)
        if QEMU_IMG is not None:
            same(path, model, tmp_path)


def test_an_overlay_leaves_its_base_alone(tmp_path: Path) -> None:
    content = random.Random(SEED).randbytes(1 << 20)
    path = tmp_path / "base.img"
    path.write_bytes(content)
    image = overlay_of(open_image(str(path), "raw", writable=False))
    model = bytearray(content)
    scribble(image, model, random.Random(SEED), 60)
    assert image.read(0, len(model)) == model
    image.close()
    assert path.read_bytes() == content
    assert sorted(tmp_path.iterdir()) == [path]


KILLED = """
    import random, sys
    from machine.images import open_image
    image, rng, done = open_image(sys.argv[1]), random.Random(int(sys.argv[2])), 0
    while True:
        for _ in range(rng.randrange(1, 30)):
            at = rng.randrange(0, 8 << 20, 512)
            image.write(at, rng.randbytes(512 * rng.randrange(1, 200))[: (8 << 20) - at])
        image.flush()
        done += 1
        print(done, flush=True)
"""


def replay(seed: int, flushes: int) -> bytes:
    """The disk after so many flushes of the program above."""
    rng, model = random.Random(seed), bytearray(8 << 20)
    for _ in range(flushes):
        for _ in range(rng.randrange(1, 30)):
            at = rng.randrange(0, 8 << 20, 512)
            data = rng.randbytes(512 * rng.randrange(1, 200))[: (8 << 20) - at]
            model[at : at + len(data)] = data
    return bytes(model)


@needs_qemu_img
@pytest.mark.parametrize(
    "seed", [1, 2, *(pytest.param(n, marks=pytest.mark.slow) for n in (3, 4, 5))]
)
def test_an_acknowledged_flush_survives_kill_9(seed: int, tmp_path: Path) -> None:
    """Sectors that the next round wrote may be old or new; all others are as they were flushed."""
    path = make(tmp_path / "a.qcow2", 8 << 20, "cluster_size=4096")
    program = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(KILLED), path, str(seed)],
        stdout=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip
    assert program.stdout is not None
    acknowledged = [program.stdout.readline() for _ in range(4 + seed * 3)]
    program.send_signal(signal.SIGKILL)
    acknowledged += program.stdout.readlines()
    program.stdout.close()
    program.wait()
    flushes = int(acknowledged[-1])
    assert flushes >= 4
    checked = subprocess.run(
        [str(QEMU_IMG), "check", path], capture_output=True, text=True, check=False
    )
    assert checked.returncode in (0, 3), checked.stdout  # 3: clusters counted and not used
    assert "ERROR" not in checked.stdout + checked.stderr
    before, after = replay(seed, flushes), replay(seed, flushes + 1)
    image = open_image(str(path))
    content = image.read(0, 8 << 20)
    image.close()
    for at in range(0, 8 << 20, 512):
        now = content[at : at + 512]
        assert (
            now == before[at : at + 512]
            or now == after[at : at + 512]
            or (before[at : at + 512] != after[at : at + 512])
        ), f"sector {at // 512}"


def test_flushing_beside_writing(tmp_path: Path) -> None:
    """One thread flushes all the time."""
    import threading

    path = tmp_path / "a.qcow2"
    create_qcow2(str(path), 8 << 20, cluster_bits=12)
    image = open_image(str(path))
    stop = threading.Event()

    def flush() -> None:
        while not stop.is_set():
            image.flush()

    thread = threading.Thread(target=flush)
    thread.start()
    model = bytearray(8 << 20)
    scribble(image, model, random.Random(SEED), 300)
    stop.set()
    thread.join()
    image.close()
    check(path)
    image = open_image(str(path))
    assert image.read(0, len(model)) == model
    image.close()


@needs_qemu_img
@pytest.mark.parametrize("size", ["4M", "600M"])
def test_an_image_that_was_not_closed_is_counted_anew(size: str, tmp_path: Path) -> None:
    """By qemu-io, which is stopped in the middle, with lazy reference counts."""
    qemu_io = shutil.which("qemu-io")
    if qemu_io is None:
        pytest.skip("no qemu-io")
    path = tmp_path / "a.qcow2"
    options = "lazy_refcounts=on,cluster_size=" + ("4096" if size == "4M" else "65536")
    qemu_img("create", "-q", "-f", "qcow2", "-o", options, path, size)
    subprocess.run([qemu_io, "-c", "write -P 3 1M 1M", path], capture_output=True, check=True)
    qemu_img("snapshot", "-c", "kept", path)
    steps = ["write -P 1 0 1M", "write -P 2 3M 100k", "flush", "abort"]
    commands = [part for step in steps for part in ("-c", step)]
    subprocess.run([qemu_io, *commands, path], capture_output=True, check=False)
    assert path.read_bytes()[79] & 1
    image = open_image(str(path))
    image.write(2 << 20, b"x" * 5000)
    image.close()
    assert not path.read_bytes()[79] & 1
    check(path)
    image = open_image(str(path))
    assert image.read(0, 1 << 20) == b"\1" * (1 << 20)
    assert image.read(3 << 20, 102_400) == b"\2" * 102_400
    assert image.read(2 << 20, 5001) == b"x" * 5000 + b"\0"
    image.close()


# What a user may do wrong


def patched(path: Path, at: int, value: bytes) -> Path:
    data = bytearray(path.read_bytes())
    data[at : at + len(value)] = value
    path.write_bytes(data)
    return path


def cut(path: Path, length: int) -> Path:
    path.write_bytes(path.read_bytes()[:length])
    return path


def number(value: int, length: int) -> bytes:
    return value.to_bytes(length, "big")


# How the image is made wrong, and what is said of it; ~ stands for "is a damaged qcow2 image: ".
WRONG: list[tuple[str, Callable[[Path], object], str]] = [
    ("header cut off", lambda p: cut(p, 60), "is a truncated or damaged qcow2 image: no header"),
    (
        "L1 cut off",
        lambda p: cut(p, 150_000),
        "~the L1 table is beyond the end of the file, which was truncated",
    ),
    ("version 4", lambda p: patched(p, 4, number(4, 4)), "is qcow2 version 4; there are 2 and 3"),
    (
        "clusters",
        lambda p: patched(p, 20, number(40, 4)),
        "~clusters of 2^40 bytes; they have 2^9 to 2^21",
    ),
    ("size", lambda p: patched(p, 24, number(1 << 63, 8)), "~a disk of 9223372036854775808 bytes"),
    ("encrypted", lambda p: patched(p, 32, number(1, 4)), "is encrypted, which is not supported"),
    (
        "L1 entries",
        lambda p: patched(p, 36, number(0, 4)),
        "~an L1 table of 0 entries; 1 are needed",
    ),
    ("L1 offset", lambda p: patched(p, 40, number(77, 8)), "~the L1 table at 0x4d"),
    ("refcounts", lambda p: patched(p, 56, number(0, 4)), "~a refcount table of 0 clusters"),
    ("snapshots", lambda p: patched(p, 60, number(1 << 20, 4)), "~1048576 snapshots at 0x0"),
    (
        "refcount order",
        lambda p: patched(p, 96, number(7, 4)),
        "~refcounts of 2^7 bits; they have at most 64",
    ),
    ("header length", lambda p: patched(p, 100, number(9, 4)), "~a header of 9 bytes"),
    (
        "corrupt",
        lambda p: patched(p, 72, number(2, 8)),
        "is marked as corrupt; qemu-img check -r all may repair it",
    ),
    (
        "data file",
        lambda p: patched(p, 72, number(4, 8)),
        "needs an external data file, which is not supported",
    ),
    (
        "extended L2",
        lambda p: patched(p, 72, number(16, 8)),
        "needs extended L2 entries, which is not supported",
    ),
    (
        "unknown feature",
        lambda p: patched(p, 72, number(1 << 40, 8)),
        "needs incompatible feature 40, which is not supported",
    ),
    (
        "extension",
        lambda p: patched(p, 104, number(0xE2792ACA, 4) + number(1 << 30, 4)),
        "~header extension 0xe2792aca is too long",
    ),
    (
        "backing name",
        lambda p: patched(p, 8, number(1 << 20, 8) + number(5, 4)),
        "~a backing file's name of 5 bytes at 0x100000",
    ),
    (
        "own backing",
        lambda p: patched(patched(p, 8, number(512, 8) + number(7, 4)), 512, b"a.qcow2"),
        "is its own backing file, in a loop (backing file of {path})",
    ),
    (
        "no backing",
        lambda p: patched(patched(p, 8, number(512, 8) + number(4, 4)), 512, b"none"),
        "No such file or directory (backing file of {path})",
    ),
    (
        "far backing",
        lambda p: patched(patched(p, 8, number(512, 8) + number(8, 4)), 512, b"nbd://x/"),
        "the backing file nbd://x/ is not a file on this machine",
    ),
    (
        "refcount block",
        lambda p: patched(p, 65536, number(0x123, 8)),
        "~refcount block 0 is at 0x123",
    ),
]


@pytest.mark.parametrize(("how", "said"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_what_cannot_be_opened(how: Callable[[Path], object], said: str, tmp_path: Path) -> None:
    path = tmp_path / "a.qcow2"
    create_qcow2(str(path), 1 << 20)
    how(path)
    with pytest.raises(ImageError) as error:
        open_image(str(path))
    line = str(error.value)
    said = said.replace("~", "is a damaged qcow2 image: ").format(path=path)
    assert line == f"{tmp_path}/{'none' if said.startswith('No such') else 'a.qcow2'}: {said}"


def test_a_loop_of_backing_files(tmp_path: Path) -> None:
    for name, other in (("a", "b"), ("b", "c"), ("c", "a")):
        create_qcow2(str(tmp_path / name), 1 << 20, backing_file=other, backing_format="qcow2")
    with pytest.raises(ImageError) as error:
        open_image(str(tmp_path / "a"))
    assert str(error.value) == (
        f"{tmp_path}/a: is its own backing file, in a loop (backing file of {tmp_path}/c)"
    )


def test_a_feature_is_called_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "a.qcow2"
    create_qcow2(str(path), 1 << 20)
    table = number(0x6803F857, 4) + number(48, 4) + b"\0\x21" + b"time travel".ljust(46, b"\0")
    patched(patched(path, 72, number(1 << 33, 8)), 104, table)
    with pytest.raises(ImageError, match=r"needs the feature time travel, which is not supported$"):
        open_image(str(path))


def test_damage_that_is_found_later(tmp_path: Path) -> None:
    """L2 tables and clusters at impossible places; data are not written over the tables."""
    path = tmp_path / "a.qcow2"
    create_qcow2(str(path), 1 << 20)
    image = open_image(str(path))
    image.write(0, b"x" * 65536)
    image.close()
    l1 = 3 * 65536
    l2 = int.from_bytes(path.read_bytes()[l1 : l1 + 8], "big") & ((1 << 62) - 1)
    good = path.read_bytes()
    for at, value, said in (
        (l1, 1 << 63 | 0x200, "L2 table 0 is at 0x200"),
        (l1, 1 << 63 | 1 << 40, "L2 table 0 is beyond the end of the file"),
        (l2, 1 << 63 | 0x10200, "the cluster of 0x0 is at 0x10200"),
        (l2, 1 << 62 | 100, "the compressed cluster at 0x64 cannot be read"),
    ):
        path.write_bytes(good)
        patched(path, at, number(value, 8))
        image = open_image(str(path))
        with pytest.raises(ImageError, match=said):
            image.read(0, 512)
        image.close()
    path.write_bytes(good)
    patched(path, l2, number(1 << 63 | 65536, 8))
    image = open_image(str(path))
    with pytest.raises(ImageError, match="data would overwrite the tables at 0x10000"):
        image.write(0, b"y" * 512)
    image.close()


def tried(action: Callable[[], T]) -> T | None:
    """What it returns; None if it failed as it should, in one line."""
    try:
        return action()
    except ImageError as error:
        message = str(error)
    assert "\n" not in message
    return None


def use(image: Image, rng: random.Random) -> None:
    tried(lambda: image.read(rng.randrange(4 << 20), 5000))
    tried(lambda: image.write(rng.randrange(6000) * 512, bytes(5000)))
    tried(image.flush)
    tried(image.close)
    image.close()


@pytest.mark.parametrize(
    "seed", [SEED, *(pytest.param(n, marks=pytest.mark.slow) for n in range(50, 60))]
)
def test_damaged_images_end_in_a_line(seed: int, tmp_path: Path) -> None:
    """Random bytes anywhere in the tables: reads and writes work, or fail with one line."""
    rng = random.Random(seed)
    path = tmp_path / "a.qcow2"
    create_qcow2(str(path), 4 << 20, cluster_bits=9, refcount_order=rng.randrange(7))
    image = open_image(str(path))
    for _ in range(20):
        image.write(rng.randrange(8192) * 512, rng.randbytes(512))
    image.close()
    good = path.read_bytes()
    opened = 0
    for _ in range(150):
        data = bytearray(good)
        for _ in range(rng.randrange(1, 4)):
            at = rng.randrange(rng.choice((112, len(data) & ~511)))
            value = rng.choice((rng.randbytes(1), b"\0", b"\xff", rng.randbytes(8), bytes(8)))
            data[at : at + len(value)] = value
        data[79] ^= rng.random() < 0.3  # dirty: its clusters are counted anew
        path.write_bytes(data[: rng.choice((len(data), len(data), rng.randrange(len(data))))])
        found = tried(lambda: open_image(str(path), rng.choice((None, "qcow2"))))
        if found is None:
            continue
        opened += 1
        use(found, rng)
    assert opened > 20


def test_a_full_disk_loses_nothing_that_was_flushed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the host's disk is full flushes fail; when there is room again the next one works."""
    path = tmp_path / "a.qcow2"
    create_qcow2(str(path), 8 << 20, cluster_bits=12)
    image = open_image(str(path))
    assert isinstance(image, Qcow2Image)
    image.write(0, b"a" * 100_000)
    real = os.pwrite

    def full(*_: object) -> int:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(ImageError, match=r"cannot be written: No space left on device$"):
        image.write(1 << 20, b"b" * 100_000)
    with pytest.raises(ImageError, match=r"cannot be written: No space left on device$"):
        image.flush()
    monkeypatch.setattr(os, "pwrite", real)
    image.write(2 << 20, b"c" * 100_000)
    image.flush()
    image.close()
    check(path)
    image = open_image(str(path))
    assert image.read(0, 100_000) == b"a" * 100_000
    assert image.read(1 << 20, 1000) == bytes(1000)
    assert image.read(2 << 20, 100_000) == b"c" * 100_000
    image.close()
