"""Loading a program: its segments and its dynamic linker's into guest memory, and its first stack.

The steps are those of Linux' fs/binfmt_elf.c.  Addresses are not randomised, so that a run repeats
exactly and translations kept on disk fit the next one.

    program      where its headers say; one that is position independent at the ABI's `dynamic_base`
    interpreter  where mmap(2) finds room
    heap         after the program's last segment
    stack        at the end of the address space: argc, argv, envp, auxiliary vector, then what they
                 point at
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from user_mode.areas import (
    MAP_ANONYMOUS,
    MAP_FIXED,
    MAP_GROWSDOWN,
    MAP_PRIVATE,
    PROT_EXEC,
    PROT_READ,
    PROT_WRITE,
)
from user_mode.elf import ET_DYN, PF_X, ElfFile, Machine, Segment
from user_mode.errors import BadImage, Errno, shown
from user_mode.memory import MAP_FIXED_NOREPLACE, MAP_NORESERVE, GuestMemory
from user_mode.pages import PAGE, page_up

DEFAULT_STACK_SIZE = 8 << 20
_STACK_GAP_LEAST = 128 << 20
"""What Linux keeps between the top of the mmap area and the end of memory."""
_ALIGN_LIMIT = 1 << 21
"""A segment's alignment is honoured up to that of a huge page."""
_MAX_ARG_STRLEN = 131072

AT_NULL, AT_PHDR, AT_PHENT, AT_PHNUM, AT_PAGESZ, AT_BASE, AT_FLAGS = 0, 3, 4, 5, 6, 7, 8
AT_ENTRY, AT_UID, AT_EUID, AT_GID, AT_EGID = 9, 11, 12, 13, 14
AT_PLATFORM, AT_HWCAP, AT_CLKTCK, AT_SECURE = 15, 16, 17, 23
AT_BASE_PLATFORM, AT_RANDOM, AT_HWCAP2, AT_EXECFN = 24, 25, 26, 31
AT_SYSINFO, AT_SYSINFO_EHDR, AT_MINSIGSTKSZ = 32, 33, 51


class ProgramAbi(NamedTuple):
    """What Linux on one machine decides about programs at their start."""

    machine: Machine
    root_hint: str
    """Where Debian's cross compilers keep this machine's libraries."""
    dynamic_base: int
    """ELF_ET_DYN_BASE: where position-independent programs go."""
    reads_imply_exec: bool
    """Whether a program without PT_GNU_STACK gets all readable memory executable."""
    hwcap: int
    hwcap2: int
    platform: bytes
    own_auxv: tuple[tuple[int, int], ...] = ()
    """ARCH_DLINFO: the entries of the auxiliary vector that come first."""
    base_platform: bytes = b""
    """AT_BASE_PLATFORM; empty where Linux has none."""
    vdso: bytes = b""
    """An ELF image that is mapped into every program; empty for none."""
    vdso_auxv: tuple[tuple[int, int], ...] = ()
    """The entries of the auxiliary vector that are addresses in it: type and offset."""


class Image(NamedTuple):
    """A program whose files are open and checked, ready to be loaded."""

    program: ElfFile
    interpreter: ElfFile | None

    def close(self) -> None:
        """Close the files."""
        self.program.close()
        if self.interpreter is not None:
            self.interpreter.close()


class Start(NamedTuple):
    """A loaded program before its first instruction."""

    pc: int
    stack: int
    auxv: bytes
    """The auxiliary vector as it is in memory: what /proc/self/auxv shows."""
    vdso: int
    """Where the ABI's vDSO is; 0 if it has none."""


class _Placed(NamedTuple):
    """Where a file was loaded: entry, program headers, end, and what was added to addresses."""

    bias: int
    entry: int
    headers: int
    end: int


class Loader:
    """Loads programs of one ABI; `sysroot` (-L) is where their interpreters are looked up first."""

    def __init__(
        self, abi: ProgramAbi, sysroot: bytes = b"", stack_size: int = DEFAULT_STACK_SIZE
    ) -> None:
        self.abi = abi
        self.sysroot = sysroot
        self.stack_size = page_up(stack_size)

    # -- opening ---------------------------------------------------------------------------

    def open(self, path: bytes, host_path: bytes | None = None) -> Image:
        """Open a program and its interpreter and check their headers; raises BadImage."""
        program = ElfFile.open(path, host_path)
        try:
            program.check_for(self.abi.machine)
            program.loadable(1 << self.abi.machine.bits)
            wanted = program.interpreter()
            return Image(program, self._open_interpreter(program, wanted) if wanted else None)
        except BaseException:
            program.close()
            raise

    def _open_interpreter(self, program: ElfFile, path: bytes) -> ElfFile:
        inside = self.sysroot.rstrip(b"/") + path if self.sysroot else b""
        found = inside if inside and os.path.exists(inside) else path
        if not os.path.exists(found):
            raise program.bad(self._missing(path, inside), errno.ENOENT)
        interpreter = ElfFile.open(found)
        try:
            interpreter.check_for(self.abi.machine)
            interpreter.loadable(1 << self.abi.machine.bits)
        except BadImage as fault:
            interpreter.close()
            raise BadImage(f"{program.name}: its interpreter {fault}", errno.ELIBBAD) from None
        return interpreter

    def _missing(self, path: bytes, inside: bytes) -> str:
        """The interpreter is nowhere: say where it was looked for and what to do."""
        places = " or ".join(shown(place) for place in (inside, path) if place)
        text = f"needs the program interpreter {shown(path)}, but there is no {places};"
        hint = self.abi.root_hint
        if os.path.exists(os.fsencode(hint) + path):
            return f"{text} try -L {hint}"
        return f"{text} say with -L where its root directory is"

    # -- loading ---------------------------------------------------------------------------

    def start(
        self,
        image: Image,
        memory: GuestMemory,
        argv: Sequence[bytes],
        env: Sequence[bytes],
        path: bytes,
    ) -> Start:
        """Load an image into empty memory and build its stack; `path` is what AT_EXECFN says.

        Raises BadImage; the files are closed in any case.
        """
        try:
            return self._start(image, memory, argv, env, path)
        except BadImage:
            raise
        except Errno as error:
            raise image.program.bad(f"cannot be loaded: {error}", error.code) from None
        finally:
            image.close()

    def _start(
        self,
        image: Image,
        memory: GuestMemory,
        argv: Sequence[bytes],
        env: Sequence[bytes],
        path: bytes,
    ) -> Start:
        flags = image.program.stack_flags()
        memory.read_implies_exec = flags is None and self.abi.reads_imply_exec
        self._map_stack(memory, bool(flags is not None and flags & PF_X))
        base = self.abi.dynamic_base if image.interpreter is not None else 0
        program = place(memory, image.program, base)
        is_inside = image.program.type == ET_DYN and image.interpreter is None
        memory.set_start_brk(self.abi.dynamic_base if is_inside else program.end)
        linker = place(memory, image.interpreter, 0) if image.interpreter is not None else None
        vdso = _map_vdso(memory, self.abi.vdso) if self.abi.vdso else 0
        facts = self._facts(image.program, program, linker)
        facts.update((key, vdso + offset) for key, offset in self.abi.vdso_auxv)
        stack, auxv = build_stack(memory, self.abi, self.stack_size, argv, env, path, facts)
        return Start(linker.entry if linker else program.entry, stack, auxv, vdso)

    def _map_stack(self, memory: GuestMemory, is_executable: bool) -> None:
        end = memory.task_size
        memory.mmap_base = end - page_up(max(self.stack_size, _STACK_GAP_LEAST))
        memory.stack_limit = self.stack_size
        prot = PROT_READ | PROT_WRITE | (PROT_EXEC if is_executable else 0)
        flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_GROWSDOWN | MAP_FIXED_NOREPLACE
        memory.mmap(end - self.stack_size, self.stack_size, prot, flags, name="[stack]")

    @staticmethod
    def _facts(file: ElfFile, program: _Placed, linker: _Placed | None) -> dict[int, int]:
        """What the auxiliary vector says of where things are."""
        return {
            AT_PHDR: program.headers,
            AT_PHENT: file.header_size,
            AT_PHNUM: file.header_count,
            AT_BASE: linker.bias if linker else 0,
            AT_ENTRY: program.entry,
        }


def _map_vdso(memory: GuestMemory, image: bytes) -> int:
    """Map the kernel's own shared object where there is room, with a page of data before it.

    Answers its address.
    """
    flags = MAP_PRIVATE | MAP_ANONYMOUS
    size = page_up(len(image))
    room = PROT_READ | PROT_WRITE
    data = memory.mmap(0, PAGE + size, room, flags, name="[vvar]")
    start = memory.mmap(data + PAGE, size, room, flags | MAP_FIXED, name="[vdso]")
    memory.write(start, image)
    memory.mprotect(start, size, PROT_READ | PROT_EXEC)
    return start


def place(memory: GuestMemory, file: ElfFile, base: int) -> _Placed:
    """Map a file's segments: at `base` or where there is room, if it is position independent."""
    segments = file.loadable(memory.task_size)
    first = min(segment.address for segment in segments) & -PAGE
    end = max(segment.address + segment.memory_size for segment in segments)
    bias = 0
    if file.type == ET_DYN:
        bias = _room(memory, page_up(end) - first, base, _alignment(segments)) - first
    for segment in segments:
        _map_segment(memory, file, segment, bias)
    entry = (file.entry + bias) & ((1 << file.machine.bits) - 1)
    return _Placed(bias, entry, _headers(file, segments, bias), end + bias)


def _alignment(segments: Sequence[Segment]) -> int:
    wanted = max(segment.align for segment in segments)
    return wanted if PAGE < wanted <= _ALIGN_LIMIT and not wanted & wanted - 1 else PAGE


def _room(memory: GuestMemory, length: int, base: int, alignment: int) -> int:
    """A free place for a position-independent file."""
    if base:
        return -(-base // alignment) * alignment
    extra = alignment - PAGE
    start = memory.mmap(0, length + extra, 0, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE)
    memory.munmap(start, length + extra)
    return (start + extra) & -alignment


def _map_segment(memory: GuestMemory, file: ElfFile, segment: Segment, bias: int) -> None:
    """Map what the file has of a segment, zero the rest of its last page, then add zero pages."""
    prot = segment.prot
    start = (segment.address + bias) & -PAGE
    file_end = segment.address + bias + segment.file_size
    memory_end = segment.address + bias + segment.memory_size
    flags = MAP_PRIVATE | MAP_FIXED
    if segment.file_size:
        offset = segment.offset & -PAGE
        memory.mmap(start, file_end - start, prot, flags, file.fd, offset)
        start = page_up(file_end)
    if memory_end > file_end and file_end < start:
        _clear(memory, file_end, min(start, memory_end), bool(prot & PROT_WRITE))
    if page_up(memory_end) > start:
        memory.mmap(start, page_up(memory_end) - start, prot, flags | MAP_ANONYMOUS)


def _clear(memory: GuestMemory, start: int, end: int, is_writable: bool) -> None:
    """Zero the beginning of .bss.  As in Linux, what is not writable stays as the file has it."""
    try:
        memory.write(start, bytes(page_up(end) - start))
    except Errno:
        if is_writable:
            raise


def _headers(file: ElfFile, segments: Sequence[Segment], bias: int) -> int:
    """Where the program headers are in memory; 0 if no segment has them."""
    for segment in segments:
        if segment.offset <= file.headers_at < segment.offset + segment.file_size:
            return file.headers_at - segment.offset + segment.address + bias
    return 0


# -- the stack -----------------------------------------------------------------------------


def build_stack(
    memory: GuestMemory,
    abi: ProgramAbi,
    size: int,
    argv: Sequence[bytes],
    env: Sequence[bytes],
    path: bytes,
    facts: Mapping[int, int],
) -> tuple[int, bytes]:
    """Fill the stack of a new program; answers the stack pointer and the auxiliary vector."""
    word = abi.machine.bits // 8
    order = abi.machine.order
    _check_size(argv, env, word, size)
    strings = [text + b"\0" for text in (*argv, *env, path)]
    blob = b"".join(strings)
    top = memory.task_size - word - len(blob)
    platforms = [name + b"\0" for name in (abi.platform, abi.base_platform) if name]
    random = ((top & -16) - 16 - len(b"".join(platforms))) & -16
    addresses = _addresses(strings, top)
    pairs = {
        **facts,
        AT_RANDOM: random,
        **dict(
            zip((AT_PLATFORM, AT_BASE_PLATFORM), _addresses(platforms, random + 16), strict=False)
        ),
        AT_EXECFN: addresses[-1],
    }
    auxv = _words(auxiliary_vector(abi, pairs), word, order)
    argc = len(argv)
    table = [argc, *addresses[:argc], 0, *addresses[argc:-1], 0]
    words = _words(table, word, order) + auxv
    stack = (random - len(words)) & -16
    memory.write(stack, words)
    memory.write(random, os.urandom(16) + b"".join(platforms))
    memory.write(top, blob)
    return stack, auxv


def _check_size(argv: Sequence[bytes], env: Sequence[bytes], word: int, size: int) -> None:
    """What execve(2) refuses with E2BIG: a text of more than 32 pages, all more than a quarter."""
    texts = [*argv, *env]
    total = sum(len(text) + 1 + word for text in texts)
    if total > max(size // 4, _MAX_ARG_STRLEN) or any(len(t) >= _MAX_ARG_STRLEN for t in texts):
        raise Errno(errno.E2BIG)


def _addresses(strings: Sequence[bytes], start: int) -> list[int]:
    found = []
    for text in strings:
        found.append(start)
        start += len(text)
    return found


def _words(numbers: Sequence[int], size: int, order: str) -> bytes:
    """Guest words; numbers wrap as the kernel's own would."""
    letters = f"{'>' if order == 'big' else '<'}{len(numbers)}{'I' if size == 4 else 'Q'}"
    mask = (1 << 8 * size) - 1
    return struct.pack(letters, *(number & mask for number in numbers))


def auxiliary_vector(abi: ProgramAbi, facts: Mapping[int, int]) -> list[int]:
    """The entries in the order of create_elf_tables(): type, value, type, value, ..."""
    strings = (AT_EXECFN, AT_PLATFORM, AT_BASE_PLATFORM)
    entries = [
        *((key, facts[key]) for key, _ in abi.vdso_auxv),
        *abi.own_auxv,
        (AT_HWCAP, abi.hwcap),
        (AT_PAGESZ, PAGE),
        (AT_CLKTCK, os.sysconf("SC_CLK_TCK")),
        *((key, facts[key]) for key in (AT_PHDR, AT_PHENT, AT_PHNUM, AT_BASE)),
        (AT_FLAGS, 0),
        (AT_ENTRY, facts[AT_ENTRY]),
        (AT_UID, os.getuid()),
        (AT_EUID, os.geteuid()),
        (AT_GID, os.getgid()),
        (AT_EGID, os.getegid()),
        (AT_SECURE, 0),
        (AT_RANDOM, facts[AT_RANDOM]),
        (AT_HWCAP2, abi.hwcap2),
        *((key, facts[key]) for key in strings if key in facts),
        (AT_NULL, 0),
    ]
    return [number for entry in entries for number in entry]
