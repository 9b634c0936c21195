"""Tables made ready once: generated modules kept as marshalled code in the user's cache.

A file is named by the hash of the table's text and of the generator's own sources, so it is never
stale; what is damaged is made again.  A start with the file there takes a few milliseconds and
imports no parser.
"""

from __future__ import annotations

import marshal
import os
import sys
from _blake2 import blake2b  # hashlib itself takes 3 ms to import, for OpenSSL
from collections.abc import Iterable, Mapping
from contextlib import suppress
from types import CodeType
from typing import Any

from tcg.decode.table import Table

DIGEST_BYTES = 16
# fmt: off
SOURCES = (
    "grammar.lark", "syntax.py", "parse.py", "check.py", "template.py", "generate.py", "table.py",
)
# fmt: on


def cached(path: str | os.PathLike[str], environ: Mapping[str, str] = os.environ) -> Table:
    """The table at `path`, from the cache if it is there.  Raises TableError and OSError.

    QEMUPY_CACHE_DIR says where the cache is, QEMUPY_CACHE=off does without.
    """
    path = os.fspath(path)
    directory = cache_directory(environ)
    if directory is None:
        return instantiate(_compile(path), path)
    kept = os.path.join(directory, f"table-{key(path)}")
    code = read(kept)
    if code is None:
        code = _compile(path)
        write(kept, code)
    return instantiate(code, path)


def cache_directory(environ: Mapping[str, str]) -> str | None:
    """Where the user's cache is; None if there is none to use.

    The same as platformdirs.user_cache_dir("qemupy") on Linux, without its 10 ms of imports.
    """
    if environ.get("QEMUPY_CACHE", "").lower() in ("off", "0", "no"):
        return None
    if chosen := environ.get("QEMUPY_CACHE_DIR"):
        return os.path.abspath(chosen)
    base = environ.get("XDG_CACHE_HOME", "").strip()
    home = environ.get("HOME", "")
    if not os.path.isabs(base):
        base = f"{home}/.cache" if os.path.isabs(home) else ""
    return f"{base}/qemupy" if base else None


def key(path: str) -> str:
    """The name under which the table at `path` is kept: all that has a say in its module."""
    here = os.path.dirname(__file__)
    return digest_of([path, *(os.path.join(here, name) for name in SOURCES)])


def digest_of(files: Iterable[str]) -> str:
    """A hash of what is in these files, and of Python's version."""
    digest = blake2b(sys.version.encode(), digest_size=DIGEST_BYTES)
    for file in files:
        with open(file, "rb", buffering=0) as opened:
            content = opened.read()
        digest.update(b"%d\n" % len(content) + content)
    return digest.hexdigest()


def read(kept: str) -> CodeType | None:
    """The code kept in this file; None if it is missing, damaged, or others may write to it."""
    code = read_object(kept)
    return code if isinstance(code, CodeType) else None


def read_object(kept: str) -> Any:
    """What `write` kept in this file, or None as above."""
    try:
        with open(kept, "rb", buffering=0) as opened:
            facts = os.fstat(opened.fileno())
            content = opened.read()
    except OSError:
        return None
    if facts.st_uid != os.geteuid() or facts.st_mode & 0o022:
        return None
    digest, data = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
    if digest != _digest(data):  # marshal trusts its input: it must never see a damaged one
        return None
    return marshal.loads(data)


def write(kept: str, code: object) -> None:
    """Keep what marshal can write in this file, all of it or nothing.

    A full or read-only disk is no error.
    """
    data = marshal.dumps(code)  # type: ignore[arg-type]
    folder, name = os.path.split(kept)
    unfinished = f"{folder}/.{name}.{os.getpid()}"
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        fd = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(fd, "wb") as opened:
            opened.write(_digest(data) + data)
        os.replace(unfinished, kept)
    except OSError:
        with suppress(OSError):
            os.unlink(unfinished)


def instantiate(code: CodeType, path: str) -> Table:
    """Run a generated module and take its table."""
    module: dict[str, object] = {"__name__": f"<decoder of {os.path.basename(path)}>"}
    exec(code, module)
    make = module["table"]
    assert callable(make)
    table = make(path)
    assert isinstance(table, Table)
    return table


def _compile(path: str) -> CodeType:
    from tcg.decode.generate import compile_table

    return compile_table(path)


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=DIGEST_BYTES).digest()
