"""The backend in the guest's process: native memory, handlers, regions, the way in.

LLVM itself is not here but in the compile worker.  What it made before comes from the cache:
handlers all at once when the process starts, regions one by one as they are asked for.
"""

from __future__ import annotations

import ctypes
import signal
import threading
from array import array
from collections.abc import Callable, Iterator, Sequence
from queue import SimpleQueue
from struct import Struct
from typing import Any

from backend.llvm.arena import ArenaFull, Code, HostArena
from backend.llvm.blob import HEAD_PREFIX, Blob
from backend.llvm.cache import Cache, digest_of
from backend.llvm.client import URGENT, Client
from backend.llvm.runtime import NativeMmu, Runtime, runtime_blob
from tcg.backend import OutOfCodeSpace
from tcg.cpu import Cpu
from tcg.forms import Form, Forms, load_form
from tcg.log import Log

_WORD = Struct("<I")
STATE_ALIGN = 64


class LlvmBackend:
    """Implements tcg.backend.Backend.  `frontend` is `module:class`, for the worker.

    `waits`: the guest stands still while its hot code is compiled, so that a test knows what ran.
    """

    def __init__(
        self, frontend: str, pc_shift: int, cache: Cache, log: Log, system: bool = False
    ) -> None:
        """`system`: handlers and regions are those of a whole machine (backend.llvm.softmmu)."""
        self.frontend = frontend
        self.system = system
        self.pc_shift = pc_shift
        self.cache = cache
        self.log = log
        self.arena = HostArena()
        self.client = Client(lambda line: log.write("jit", line + "\n"))
        self.runtime = Runtime(
            self.arena, runtime_blob(cache, lambda: bytes(self.client.call("runtime")))
        )
        self.native = self.runtime.symbols
        self.enter = self.runtime.enter
        self.view = self.arena.view
        self.base = self.arena.base
        self.statistics = {"handlers": 0, "cache_hits": 0, "worker_seconds": 0.0}
        self._lock = threading.Lock()
        self._deliveries: SimpleQueue[Callable[[], None]] | None = None
        self.waits = False
        self._cold = 0, 0
        self._rows: dict[int, list[bytes]] | None = None
        self._pack = cache.pack(f"handlers-{frontend.rpartition(':')[2]}")
        self._addresses: dict[str, int] = {}

    # -- memory ----------------------------------------------------------------------------

    def allocate(self, size: int) -> int:
        """Host memory for records, all zero."""
        with self._lock:
            return self.arena.data.allocate(size, align=32)

    def free(self, address: int, size: int) -> None:
        """Take back what `allocate` gave, zeroed."""
        start = address - self.base
        self.view[start : start + size] = bytes(size)
        with self._lock:
            self.arena.data.free(address, size, align=32)

    def new_state(self, size: int) -> tuple[int, memoryview]:
        """Zeroed host memory for a CPU: its address and its bytes."""
        with self._lock:
            address = self.arena.data.allocate(size, align=STATE_ALIGN)
        start = address - self.base
        return address, self.view[start : start + size]

    def prepare_header(self, cpu: Cpu, memory: Any) -> None:
        """Fill the header fields that the native runtime reads."""
        self.runtime.prepare(
            cpu.view, memory.base, memory.size, memory.page_flags, memory.page_access
        )

    # -- a whole machine's memory ----------------------------------------------------------

    def prepare_system(self, cpu: Cpu, memory: Any) -> None:
        """Give a CPU its TLBs and jump caches, and the machine's memory."""
        from backend.llvm.softmmu_layout import CONTEXTS, SYSTEM_JUMP_BITS, TLB_BYTES, TLBS

        with self._lock:
            tlbs = self.arena.data.allocate(TLBS * TLB_BYTES, align=STATE_ALIGN)
            contexts = self.arena.data.allocate(16 * CONTEXTS)
            caches = self.arena.data.allocate(CONTEXTS * 8 << SYSTEM_JUMP_BITS)
        for number in range(CONTEXTS):
            cache = caches + number * (8 << SYSTEM_JUMP_BITS)
            self.write_pointer(contexts + 16 * number + 8, cache)
        self.runtime.prepare(cpu.view, tlbs, 0, 0, 0)
        for name, value in (
            ("tlbs", tlbs),
            ("contexts", contexts),
            ("physical_map", memory.map_address),
            ("code_map", memory.code_address),
            ("code_bytes", memory.code_bytes_address),
        ):
            cpu.set_header(name, value)

    def connect_memory(
        self, walk: int, read: Callable[[int, int], int], write: Callable[[int, int, int], None]
    ) -> None:
        """The page walk's code, and who answers for devices."""
        self.runtime.mmu.connect(walk, read, write)

    @property
    def mmu(self) -> NativeMmu:
        """The native MMU's functions."""
        return self.runtime.mmu

    # -- records that were kept ------------------------------------------------------------

    def _images_key(self, key: str) -> str:
        return self.cache.key("images", f"{self.frontend} {key}".encode())

    def known_images(self, key: str) -> tuple[list[str], dict[int, bytes]] | None:
        """What `keep_images` was given for this key in an earlier run."""
        import msgpack

        data = self.cache.get(self._images_key(key))
        if data is None:
            return None
        symbols, images = msgpack.unpackb(data, strict_map_key=False)
        return symbols, images

    def keep_images(self, key: str, symbols: Sequence[str], images: dict[int, bytes]) -> None:
        """Keep page images, and the handlers' symbols that their numbers stand for."""
        import msgpack

        self.cache.put(self._images_key(key), msgpack.packb((symbols, images)))

    def images_age(self, key: str) -> float:
        """Seconds since images were kept for this key; infinite if there are none."""
        return self.cache.age(self._images_key(key))

    def handler_addresses(self, symbols: Sequence[str]) -> Sequence[int]:
        """Where those handlers are; 0 for one that is not there."""
        return [self._addresses.get(symbol, 0) for symbol in symbols]

    def handler_symbols(self) -> dict[int, str]:
        """All handlers by address."""
        return {address: symbol for symbol, address in self._addresses.items()}

    def digest(self, data: bytes) -> bytes:
        """What tells these bytes from any others."""
        return digest_of(data)

    def load_records(
        self, records: bytes, handlers: array[int], places: bytes, blocks: bytes
    ) -> int:
        """Put a page image into memory, have its blocks' heads lead there; gives its address."""
        with self._lock:
            address = self.arena.data.allocate(len(records), align=32)
            self.runtime.make_room_for_heads(len(blocks) // 16)
        self.view[address - self.base : address - self.base + len(records)] = records
        code, counter = self._cold
        self.runtime.load(
            address, handlers.buffer_info()[0], places, len(places) // 4,
            blocks, len(blocks) // 16, code, counter,
        )  # fmt: skip
        return address

    def read_records(self, address: int, size: int) -> bytes:
        """Records as they are in memory."""
        return bytes(self.view[address - self.base : address - self.base + size])

    # -- heads -----------------------------------------------------------------------------

    def set_cold(self, code: int, counter: int) -> None:
        """What the heads of blocks get whose records are loaded."""
        self._cold = code, counter

    def head(self, pc: int, where: int = 0) -> int:
        """The address of the head of the block at `pc`, which is made if there is none."""
        found = self.runtime.head(pc, where)
        if not found:
            with self._lock:
                self.runtime.make_room_for_heads(1)
            found = self.runtime.head(pc, where)
        return found

    def find_head(self, pc: int, where: int = 0) -> int:
        """The address of the head of the block at `pc`; 0 if there is none."""
        return self.runtime.find_head(pc, where)

    def forget_heads(self) -> None:
        """Have no head lead to code."""
        self.runtime.forget()

    def set_rules(self, where: int, notices: bool) -> None:
        """Have branches come back always (0), or lead to heads (1), or to bodies (2); `notices`:
        leave guest code before a store into code.
        """
        self.runtime.set_rules(where, self.pc_shift, notices)

    def new_jump_cache(self) -> int:
        """Host address of an empty jump cache."""
        return self.runtime.new_jump_cache()

    def empty_jump_cache(self, address: int) -> None:
        """Forget everything in a jump cache."""
        self.runtime.empty_jump_cache(address)

    def write_pointer(self, address: int, value: int) -> None:
        """Store eight bytes at once."""
        ctypes.c_uint64.from_address(address).value = value

    def write_word(self, address: int, value: int) -> None:
        """Store four bytes at once."""
        ctypes.c_uint32.from_address(address).value = value

    def read_pointer(self, address: int) -> int:
        """Load eight bytes."""
        return ctypes.c_uint64.from_address(address).value

    def read_word(self, address: int) -> int:
        """Load four bytes."""
        return ctypes.c_uint32.from_address(address).value

    # -- handlers --------------------------------------------------------------------------

    def load_handlers(self, forms: Forms) -> None:
        """Load the code of all handlers that earlier runs made; their forms when they are asked."""
        if self._rows is None:
            self._rows = self._load_pack()
        rows = self._rows
        forms.known = lambda row: self._known_forms(rows.get(row, ()))

    def _load_pack(self) -> dict[int, list[bytes]]:
        rows: dict[int, list[bytes]] = {}
        for key, data in self._pack.load().items():
            kind, row, _ = key.split(":", 2)
            if kind == "blob":
                self._install_handlers(Blob.unpack(data))
            else:
                rows.setdefault(int(row), []).append(data)
        return rows

    def _known_forms(self, dumps: Sequence[bytes]) -> Iterator[Form]:
        import msgpack

        for data in dumps:
            form = load_form(msgpack.unpackb(data))
            form.address = self._addresses.get(form.symbol, 0)
            if form.address:
                yield form

    def _install_handlers(self, blob: Blob) -> None:
        with self._lock:
            code = self.arena.install(blob, self.runtime.resolve)
        self._addresses.update(code.exports)
        self.statistics["handlers"] += len(code.exports)

    def make_handlers(self, forms: Sequence[Form]) -> None:
        """Set the `address` of every form, compiling those that nobody has made yet."""
        wanted = [form for form in forms if form.symbol not in self._addresses]
        if wanted:
            self._compile_handlers(wanted)
        for form in forms:
            form.address = self._addresses[form.symbol]

    def _compile_handlers(self, forms: Sequence[Form]) -> None:
        import msgpack

        from backend.llvm.cache import digest
        from backend.llvm.handlers import PASSES, handlers_text

        text = handlers_text(forms, self.pc_shift, self.system)
        request = {"text": text, "options": {"passes": PASSES}}
        packed = bytes(self.client.call("compile", request)["blob"])
        self._install_handlers(Blob.unpack(packed))
        entries = {f"form:{form.row}:{form.symbol}": msgpack.packb(form.dump()) for form in forms}
        if self._rows is not None:
            for form in forms:  # a frontend of another mode may know them under the same name
                self._rows.setdefault(form.row, []).append(msgpack.packb(form.dump()))
        entries[f"blob:{len(forms)}:{digest(packed)}"] = packed
        self._pack.add(entries)

    # -- regions ---------------------------------------------------------------------------

    def _region_key(self, mode: dict[str, Any], pc: int, code: bytes) -> str:
        place = mode.get("frontend", self.frontend), mode.get("code_space", "")
        flags = f"{place} {mode['exact']} {mode['parallel']} {pc:x} "
        return self.cache.key("region", flags.encode() + code)

    def known_region(self, mode: dict[str, Any], pc: int, code: bytes) -> dict[str, Any] | None:
        """What an earlier run compiled for the block of that code."""
        import msgpack

        data = self.cache.get(self._region_key(mode, pc, code))
        if data is None:
            return None
        self.statistics["cache_hits"] += 1
        found: dict[str, Any] = msgpack.unpackb(data)
        return found

    def submit_region(self, request: dict[str, Any], done: Callable[[Any], None]) -> None:
        """Have a region compiled; `done` gets what `install_region` takes, or None."""
        import msgpack

        request.setdefault("frontend", self.frontend)

        def reply(result: Any, error: str | None) -> None:
            if error is not None:
                self.log.write("jit", f"a region stays in handlers: {error}\n")
                done(None)
                return
            self.statistics["worker_seconds"] += result["seconds"]
            if not request["listings"]:
                kept = {name: request[name] for name in ("blocks", "entries")}
                key = self._region_key(request, *request["blocks"][0][:2])
                self.cache.put(key, msgpack.packb({**kept, "compiled": result}))
            done(result)

        if self.waits:
            self.client.submit("region", request, reply_at_once := _Reply(), URGENT)
            reply(*reply_at_once.wait())
            return
        self.client.submit("region", request, lambda *got: self._deliver(lambda: reply(*got)))

    def _deliver(self, action: Callable[[], None]) -> None:
        """Have an action run by a thread of its own.

        The client's reader must not wait for the world's lock: its holder may itself be waiting
        for an answer of the worker.
        """
        if self._deliveries is None:
            self._deliveries = SimpleQueue()
            deliver = threading.Thread(
                target=_run_all, args=(self._deliveries, self.log), daemon=True
            )
            deliver.start()
        self._deliveries.put(action)

    def install_region(self, compiled: Any, resolve: Callable[[int], int]) -> tuple[Any, int]:
        """Put a compiled region into memory: its handle and the address of its code."""

        def address(symbol: str) -> int:
            if symbol.startswith(HEAD_PREFIX):
                return resolve(int(symbol[len(HEAD_PREFIX) :], 16))
            return self.runtime.resolve(symbol)

        blob = Blob.unpack(compiled["blob"])
        targets = {symbol: address(symbol) for symbol in blob.needs()}
        try:
            with self._lock:
                code = self.arena.install(blob, targets.__getitem__)
        except ArenaFull as full:
            raise OutOfCodeSpace(str(full)) from None
        return code, code.exports[compiled["symbol"]]

    def release_region(self, handle: Code) -> None:
        """Give a region's memory back; nobody runs it any more."""
        with self._lock:
            self.arena.code.free(handle.address, handle.size)

    def after_fork_in_child(self) -> None:
        """Forget the parent's worker, and what its signal handlers noted."""
        self._lock = threading.Lock()
        self._deliveries = None
        self.client.after_fork_in_child()
        self.runtime.after_fork_in_child()


class _Reply:
    """An answer of the worker that somebody waits for."""

    def __init__(self) -> None:
        self._done = threading.Event()
        self._got: tuple[Any, str | None] = (None, None)

    def __call__(self, result: Any, error: str | None) -> None:
        self._got = (result, error)
        self._done.set()

    def wait(self) -> tuple[Any, str | None]:
        """The answer: a result and None, or None and an error."""
        self._done.wait()
        return self._got


def _run_all(deliveries: SimpleQueue[Callable[[], None]], log: Log) -> None:
    # The guest's signals are for its own threads.
    signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())
    while True:
        action = deliveries.get()
        try:
            action()
        except Exception as error:
            # The guest goes on in its handlers; the regions that come next must still be heard.
            log.write("jit", f"a region is lost: {type(error).__name__}: {error}\n")
