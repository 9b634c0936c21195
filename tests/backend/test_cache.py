"""The persistent cache: what is put is found again, anything odd is a miss, it stays bounded."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import platformdirs
import pytest

from backend.llvm import cache as cache_module
from backend.llvm.cache import Cache, digest, open_cache
from tcg.decode.cache import cache_directory

ROOT = Path(__file__).parents[2]


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(str(tmp_path / "cache"))


def entry(cache: Cache, key: str) -> Path:
    return Path(cache.directory or "") / key[:2] / key[2:]


def test_what_is_put_is_found_by_the_next_run(cache: Cache) -> None:
    key = cache.key("region", b"code")
    assert cache.get(key) is None
    cache.put(key, b"blob")
    again = Cache(cache.directory)
    assert again.key("region", b"code") == key
    assert again.get(key) == b"blob"


def test_keys_depend_on_kind_and_content(cache: Cache) -> None:
    keys = {cache.key(kind, data) for kind in ("a", "ab") for data in (b"c", b"bc", b"")}
    assert len(keys) == 6
    assert digest(b"ab", b"c") != digest(b"a", b"bc")


def test_keys_depend_on_the_host_cpu(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    key = cache.key("region", b"code")
    monkeypatch.setattr(cache_module, "host_cpu", lambda: b"model name: another")
    assert Cache(cache.directory).key("region", b"code") != key


def test_keys_depend_on_the_content_of_the_sources(
    cache: Cache, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    source = tmp_path / "meaning.py"
    monkeypatch.setattr(cache_module, "_sources", lambda: [str(source)])

    def key() -> str:
        return Cache(cache.directory).key("region", b"code")

    source.write_text("a = 1\n")
    first = key()
    source.write_text("a = 2\n")
    assert key() != first
    source.write_text("a = 1\n")
    assert key() == first, "the same sources at another time are the same"


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "grow", "moved"])
def test_a_damaged_entry_is_a_miss(cache: Cache, damage: str) -> None:
    key = cache.key("region", b"code")
    cache.put(key, b"blob" * 100)
    path = entry(cache, key)
    data = path.read_bytes()
    changed = {
        "cut": data[:-1],
        "flip": data[:50] + bytes((data[50] ^ 1,)) + data[51:],
        "empty": b"",
        "grow": data + b"x",
        "moved": data,
    }[damage]
    if damage == "moved":
        key = cache.key("region", b"other")
        path = entry(cache, key)
        path.parent.mkdir(exist_ok=True)
    path.write_bytes(changed)
    assert cache.get(key) is None
    cache.put(key, b"new")
    assert cache.get(key) == b"new"


def test_a_sweep_removes_what_was_not_used_for_longest(tmp_path: Path) -> None:
    cache = Cache(str(tmp_path), limit=100_000)
    keys = [cache.key("region", bytes((i,))) for i in range(20)]
    for age, key in enumerate(keys):
        cache.put(key, bytes(4000))
        os.utime(entry(cache, key), (1e9 - age, 1e9 - age))
    cache.sweep()
    assert all(entry(cache, key).exists() for key in keys), "80,000 bytes are below the limit"
    cache.limit = 50_000
    os.utime(entry(cache, keys[-1]))
    cache.sweep()
    left = [key for key in keys if entry(cache, key).exists()]
    assert keys[-1] in left, "used last"
    assert left[:-1] == keys[: len(left) - 1]
    assert 5 <= len(left) <= 9


def test_writing_ever_more_stays_bounded(tmp_path: Path) -> None:
    cache = Cache(str(tmp_path), limit=200_000)
    for i in range(300):
        cache.put(cache.key("region", i.to_bytes(4, "little")), bytes(5000))
    total = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    assert total < 2 * 200_000


def test_using_an_old_entry_makes_it_young(cache: Cache) -> None:
    key = cache.key("region", b"code")
    cache.put(key, b"blob")
    os.utime(entry(cache, key), (1e9, 1e9))
    cache.get(key)
    assert entry(cache, key).stat().st_mtime > 1e9


def test_a_pack_gathers_what_several_runs_add(cache: Cache) -> None:
    one, two = cache.pack("handlers"), Cache(cache.directory).pack("handlers")
    assert one.load() == {}
    one.add({"h_add": b"1", "h_sub": b"2"})
    two.add({"h_mul": b"3", "h_sub": b"2"})
    assert one.load() == {"h_add": b"1", "h_sub": b"2", "h_mul": b"3"}
    assert cache.pack("other").load() == {}


ADDER = """
import sys
sys.path.insert(0, {root!r})
from backend.llvm.cache import Cache
pack = Cache({directory!r}).pack("handlers")
for i in range(20):
    pack.add({{f"h_{number}_{{i}}": bytes(100)}})
"""


def test_runs_at_the_same_time_lose_nothing(cache: Cache) -> None:
    runs = [
        subprocess.Popen(
            [sys.executable, "-c",
             ADDER.format(root=str(ROOT), directory=cache.directory, number=n)]
        )
        for n in range(3)
    ]  # fmt: skip
    assert [run.wait() for run in runs] == [0, 0, 0]
    assert len(cache.pack("handlers").load()) == 60


def test_a_directory_others_may_write_to_is_not_used(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    lines: list[str] = []
    cache = Cache(str(tmp_path), log=lines.append)
    assert cache.directory is None
    assert lines == [f"cache: off: others than this user may write to {tmp_path}"]
    cache.put("00" * 16, b"x")
    assert cache.get("00" * 16) is None
    assert cache.pack("handlers").load() == {}


@pytest.mark.parametrize("how", ["a file", "off", "no home"])
def test_without_a_usable_directory_it_works_without(tmp_path: Path, how: str) -> None:
    (tmp_path / "file").touch()
    environ = {
        "a file": {"QEMUPY_CACHE_DIR": str(tmp_path / "file" / "cache")},
        "off": {"QEMUPY_CACHE": "off", "QEMUPY_CACHE_DIR": str(tmp_path)},
        "no home": {},
    }[how]
    cache = open_cache(environ)
    key = cache.key("region", b"code")
    cache.put(key, b"blob")
    cache.pack("handlers").add({"h": b"1"})
    assert cache.get(key) is None
    assert cache.pack("handlers").load() == {}
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_read_only_directory_is_read(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    key, other = cache.key("region", b"code"), cache.key("region", b"other")
    cache.put(key, b"blob")
    real_open = os.open

    def read_only_open(path: str, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_CREAT:
            raise OSError(30, "Read-only file system")
        return real_open(path, flags, mode)

    monkeypatch.setattr(os, "open", read_only_open)
    again = Cache(cache.directory)
    again.put(other, b"more")
    again.pack("handlers").add({"h": b"1"})
    assert again.get(key) == b"blob"
    assert again.get(other) is None


def test_a_full_disk_stops_writing_and_says_so_once(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    cache = Cache(cache.directory, log=lines.append)
    monkeypatch.setattr(os, "rename", _no_space)
    for i in range(3):
        cache.put(cache.key("region", bytes((i,))), b"blob")
    assert lines == ["cache: cannot write: [Errno 28] No space left on device"]
    left = [p for p in Path(cache.directory or "").rglob("*") if p.is_file()]
    assert [p for p in left if not p.name.startswith("stamp-")] == []


def _no_space(_source: str, _target: str) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize(
    "environ",
    [
        {"HOME": "/home/somebody"},
        {"HOME": "/home/somebody", "XDG_CACHE_HOME": "/var/caches"},
        {"HOME": "/home/somebody", "XDG_CACHE_HOME": ""},
    ],
)
def test_the_directory_is_the_one_platformdirs_names(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]
) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert cache_directory(environ) == platformdirs.user_cache_dir("qemupy")


def test_the_users_wishes_count(tmp_path: Path) -> None:
    wishes = {"QEMUPY_CACHE_DIR": str(tmp_path), "QEMUPY_CACHE_LIMIT": "3"}
    tmp_path.chmod(0o700)
    cache = open_cache(wishes)
    assert (cache.directory, cache.limit) == (str(tmp_path), 3 << 20)
    assert open_cache(wishes | {"QEMUPY_CACHE_LIMIT": "much"}).limit == 512 << 20
