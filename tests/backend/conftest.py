"""A compile worker, an arena and the native runtime, shared by the tests of the backend."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Callable, Iterator
from struct import Struct

import pytest

from backend.llvm.arena import HostArena
from backend.llvm.blob import Blob
from backend.llvm.client import Client
from backend.llvm.runtime import Runtime
from tcg.state import HEADER

WORD, HALF = Struct("Q"), Struct("I")
ENV_BYTES = 4096
GUEST_BYTES = 1 << 20

Compile = Callable[[str], Blob]


def no_symbol(symbol: str) -> int:
    """Resolves nothing."""
    raise KeyError(symbol)


@pytest.fixture(scope="session")
def client() -> Iterator[Client]:
    made = Client()
    yield made
    made.close()


@pytest.fixture(scope="session")
def compile_text(client: Client) -> Compile:
    return lambda text: Blob.unpack(client.call("compile", {"text": text})["blob"])


@pytest.fixture(scope="session")
def arena() -> HostArena:
    return HostArena()


@pytest.fixture(scope="session")
def runtime(client: Client, arena: HostArena) -> Runtime:
    made = Runtime(arena, Blob.unpack(client.call("runtime")))
    made.catch_faults()
    return made


class Guest:
    """One env with a megabyte of guest memory, its page tables, and code to run in it."""

    def __init__(self, arena: HostArena, runtime: Runtime) -> None:
        self.arena, self.runtime = arena, runtime
        self.memory = mmap.mmap(-1, GUEST_BYTES)
        self.base = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))
        self.flags = (ctypes.c_uint8 * (GUEST_BYTES >> 12))()
        self.access = (ctypes.c_uint8 * (GUEST_BYTES >> 12))(*[3] * (GUEST_BYTES >> 12))
        self.env, self.view = self.new_env()

    def new_env(self) -> tuple[int, memoryview]:
        env = self.arena.data.allocate(ENV_BYTES)
        view = self.arena.view[env - self.arena.base :][:ENV_BYTES]
        self.runtime.prepare(
            view, self.base, GUEST_BYTES,
            ctypes.addressof(self.flags), ctypes.addressof(self.access),
        )  # fmt: skip
        return env, view

    def record(self, code: int, *words: int) -> int:
        """The address of a fresh record that `code` runs, with up to seven operand words."""
        at = self.arena.data.allocate(64)
        for i, word in enumerate((code, *words)):
            WORD.pack_into(self.arena.view, at - self.arena.base + 8 * i, word)
        return at

    def word(self, address: int) -> int:
        """The 64-bit word at a host address in the arena."""
        value: int = WORD.unpack_from(self.arena.view, address - self.arena.base)[0]
        return value

    def set_word(self, address: int, value: int) -> None:
        """Write the 64-bit word at a host address in the arena."""
        WORD.pack_into(self.arena.view, address - self.arena.base, value)

    def get(self, field: str) -> int:
        slot = HEADER[field]
        packing = HALF if slot.type.bytes == 4 else WORD
        value: int = packing.unpack_from(self.view, slot.offset)[0]
        return value

    def set(self, field: str, value: int) -> None:
        slot = HEADER[field]
        (HALF if slot.type.bytes == 4 else WORD).pack_into(self.view, slot.offset, value)

    def run(self, record: int) -> int:
        return self.runtime.enter(self.env, record)

    def protect(self, page: int, prot: int) -> None:
        status = ctypes.CDLL(None).mprotect(
            ctypes.c_void_p(self.base + page), ctypes.c_size_t(4096), prot
        )
        assert status == 0

    def watch(self, page: int) -> None:
        """What the engine does with a page it translates code from."""
        self.flags[page >> 12] = 1
        self.protect(page, mmap.PROT_READ)


@pytest.fixture
def guest(arena: HostArena, runtime: Runtime) -> Guest:
    return Guest(arena, runtime)
