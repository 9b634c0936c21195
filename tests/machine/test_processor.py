"""The processor's loop: interrupts, exceptions, halting, stepping, what instructions ask for."""

from __future__ import annotations

import shutil
import time
from itertools import pairwise

import pytest

from frontends.x86.cpuid import MODELS
from machine.cpu.exceptions import combined
from tests.machine.computer import STOP, Computer, run

pytestmark = pytest.mark.skipif(not shutil.which("as"), reason="needs binutils")

HANDLER = """
    jmp start
    handler_{vector}:
        mov bp, sp
        mov bx, [bp]
        inc si
        {body}
    start:
        mov word ptr [4 * {vector}], offset handler_{vector}
        mov word ptr [4 * {vector} + 2], 0
"""
"""Sets a real-mode handler, which leaves what IP was pushed in BX and counts in SI."""


def handler(vector: int, body: str = STOP) -> str:
    return HANDLER.format(vector=vector, body=body)


# -- exceptions ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("vector", "code"),
    [
        (0, "xor cx, cx; here: div cx"),
        (6, "here: ud2"),
        (
            5,
            "mov word ptr [0x600], 1; mov word ptr [0x602], 2; xor ax, ax; here: bound ax, [0x600]",
        ),
        (13, "mov bx, 0xffff; here: mov ax, [bx]"),
        (7, "mov eax, cr0; or al, 8; mov cr0, eax; here: fld1"),
        (13, "mov ecx, 0xfe; here: wrmsr"),
        (13, "mov eax, 0x80000010; here: mov cr0, eax"),
        (13, "mov eax, 0x80000000; here: mov cr4, eax"),
        (13, "mov ecx, 0xC0000080; mov eax, 0x10; here: wrmsr"),
        (6, "here: rsm"),
    ],
)
def test_exceptions_report_the_instruction(vector: int, code: str) -> None:
    machine = run(f"{handler(vector)} mov word ptr [0x700], offset here; {code}; {STOP}")
    assert machine["si"] & 0xFFFF == 1
    assert machine["bx"] & 0xFFFF == int.from_bytes(machine.memory.read(0x700, 2), "little")


def test_a_fault_without_handlers_is_a_triple_fault() -> None:
    machine = run("mov word ptr [0x600], 0; lidt [0x600]; ud2")
    assert machine.triple_faults == 1
    assert "triple fault" in machine.reports[-1]


@pytest.mark.parametrize(
    ("first", "second", "becomes"),
    [
        (13, 13, 8), (14, 14, 8), (14, 13, 8), (13, 14, 14), (0, 12, 8), (6, 13, 13), (1, 14, 14),
        (8, 13, None), (8, 14, None), (8, 6, 6), (-1, 13, 13),
    ],
)  # fmt: skip
def test_double_faults(first: int, second: int, becomes: int | None) -> None:
    """SDM vol. 3, table 6-5."""
    assert combined(first, second) == becomes


# -- interrupts ------------------------------------------------------------------------------------

TIMER = """
    mov al, 0x11; out 0x20, al; mov al, 8; out 0x21, al; mov al, 4; out 0x21, al
    mov al, 1; out 0x21, al; mov al, 0xfe; out 0x21, al
    mov al, 0x34; out 0x43, al; mov al, 0; out 0x40, al; mov al, 0x10; out 0x40, al
"""
"""The master 8259 at vector 8, IRQ0 alone; the 8254 at 291 Hz."""


def computer(engine: str) -> Computer:
    """One whose local APIC lets the 8259s through, as firmware leaves it."""
    made = Computer(engine)
    made.board.local_apic.set_enabled(False)
    return made


@pytest.mark.parametrize("engine", ["interp", "threaded"])
def test_hlt_sleeps_until_the_timer(engine: str) -> None:
    machine = computer(engine)
    tick = handler(8, "push ax; mov al, 0x20; out 0x20, al; pop ax; iret")
    before = time.process_time()
    machine.run(f"{tick} xor si, si; {TIMER} sti; 1: hlt; cmp si, 30; jb 1b; cli; {STOP}")
    assert 30 <= machine["si"] & 0xFFFF < 60
    if engine == "interp":
        assert time.process_time() - before < 20


def test_no_interrupt_in_the_shadow_of_sti() -> None:
    """STI; HLT never loses the interrupt that is pending: it comes behind HLT."""
    machine = computer("interp")
    tick = handler(8, STOP)
    machine.run(
        f"{tick} {TIMER} mov cx, 2000; 1: loop 1b; 2: mov al, 0x0a; out 0x20, al; in al, 0x20;"
        f"test al, 1; jz 2b; mov ax, offset after; sti; nop; after: hlt"
    )
    assert machine["bx"] & 0xFFFF == machine["ax"] & 0xFFFF


def test_a_processor_that_halts_uses_no_time() -> None:
    used: list[float] = []

    def stop_later(machine: Computer) -> None:
        while not machine.processor.is_halted:
            time.sleep(0.01)
        before = time.process_time()
        time.sleep(0.5)
        used.append(time.process_time() - before)
        machine.processor.request_stop()

    machine = Computer("interp").run("cli; hlt", stop_later)
    assert machine.processor.is_halted
    assert used[0] < 0.3


def test_nmi() -> None:
    def send(machine: Computer) -> None:
        while not machine.memory.read(0x700, 1)[0]:
            time.sleep(0.01)
        machine.processor.special(4, 0)

    machine = Computer("interp").run(f"{handler(2)} cli; mov byte ptr [0x700], 1; 1: jmp 1b", send)
    assert machine["si"] & 0xFFFF == 1


# -- counted time ----------------------------------------------------------------------------------


def test_counted_time_repeats_exactly() -> None:
    """Two runs are alike to the last instruction: where ticks came, what the counters read."""
    tick = handler(
        8, "push ax; mov al, 0x20; out 0x20, al; rdtsc; mov [di], eax; add di, 4; pop ax; iret"
    )
    text = f"""{tick} xor si, si; mov di, 0x1000; {TIMER} sti
        1: inc ecx; cmp si, 6; jb 1b; 2: hlt; cmp si, 9; jb 2b; cli
        mov al, 0; out 0x43, al; in al, 0x40; mov bl, al; {STOP}"""
    runs = []
    for _ in range(2):
        machine = Computer("interp", icount=10)
        machine.board.local_apic.set_enabled(False)
        machine.run(text)
        ticks = machine.memory.read(0x1000, 36)
        runs.append((ticks, machine["cx"], machine["bx"], machine.processor.instructions()))
    assert runs[0] == runs[1]
    times = [int.from_bytes(runs[0][0][at : at + 4], "little") for at in range(0, 36, 4)]
    gaps = [after - before for before, after in pairwise(times)]
    assert all(abs(gap - 0x1000 * 838.095) < 30_000 for gap in gaps), gaps


# -- pausing ---------------------------------------------------------------------------------------


def test_pause_request_and_resume() -> None:
    seen: list[int] = []

    def look(machine: Computer) -> None:
        processor = machine.processor
        while not machine.memory.read(0x700, 1)[0]:
            time.sleep(0.01)
        processor.pause()
        time.sleep(0.1)
        processor.request(lambda: seen.append(machine["cx"]))
        time.sleep(0.1)
        processor.request(lambda: seen.append(machine["cx"]))
        processor.request(lambda: machine.processor.registers.__setitem__("bx", 1))
        processor.resume()

    program = f"xor bx, bx; mov byte ptr [0x700], 1; 1: inc ecx; test bx, bx; jz 1b; {STOP}"
    Computer("interp").run(program, look)
    assert seen[0] == seen[1] > 0


def test_the_time_stamp_counter_stands_in_a_pause() -> None:
    machine = Computer("interp")
    machine.processor.pause()
    before = machine.processor._msrs.time()
    time.sleep(0.3)
    machine.processor.resume()
    assert machine.processor._msrs.time() - before < 250_000_000


# -- stepping --------------------------------------------------------------------------------------

TRACE_ON = "pushf; pop ax; or ah, 1; push ax; popf"


def test_single_steps() -> None:
    """A trap behind each instruction, from the one after POPF on; INT n is one, its handler not."""
    step = handler(1, "mov [0x700 + edi * 2], bx; inc di; iret")
    soft = handler(0x40, "iret").replace("start", "other").replace("jmp other", "jmp over")
    soft = soft.replace("other:", "over:")
    machine = run(
        f"{step} {soft} xor si, si; xor di, di; {TRACE_ON}; nop; inc cx; int 0x40; mov dx, 0x501;"
        "out dx, al; hlt"
    )
    assert machine["di"] & 0xFFFF == 3
    assert machine["dr6"] & 1 << 14


def test_breakpoints_on_instructions() -> None:
    text = (
        f"{handler(1)} mov eax, offset there; mov dr0, eax; mov eax, 2; mov dr7, eax;"
        "nop; nop; there: nop; nop; hlt"
    )
    machine = run(text)
    assert machine["si"] & 0xFFFF == 1
    assert machine["dr6"] & 1
    assert machine["bx"] & 0xFFFF == machine["dr0"]


# -- what instructions ask for ---------------------------------------------------------------------


@pytest.mark.parametrize("model", ["qemu32", "qemu64", "pentium3", "core2duo"])
def test_cpuid_says_what_the_model_is(model: str) -> None:
    machine = run(
        f"mov eax, 1; cpuid; mov [0x700], edx; mov [0x704], ecx; mov [0x708], eax; {STOP}",
        model=model,
    )
    _, _, ecx, edx = MODELS[model].of_system.leaf(1)
    words = [int.from_bytes(machine.memory.read(at, 4), "little") for at in (0x700, 0x704)]
    assert words == [edx, ecx & ~(1 << 27)]
    assert edx >> 9 & 1
    assert not edx >> 1 & 1, "VME is not there"


def test_msrs_keep_what_is_written() -> None:
    machine = run(f"""
        mov ecx, 0x174; mov eax, 0x1234; mov edx, 0; wrmsr; xor eax, eax; rdmsr; mov esi, eax
        mov ecx, 0x200; mov eax, 6; mov edx, 1; wrmsr; xor eax, eax; xor edx, edx; rdmsr
        mov edi, eax; mov ebx, edx; {STOP}
    """)
    assert (machine["si"], machine["di"], machine["bx"]) == (0x1234, 6, 1)


def test_the_time_stamp_counter_counts_on() -> None:
    machine = run(f"rdtsc; mov ebx, eax; rdtsc; sub eax, ebx; mov ebp, eax; {STOP}")
    assert 0 < machine["bp"] < 60_000_000_000


def test_a20() -> None:
    """Without A20, FFFF:0010 is 0000:0000 (by port 92h)."""
    machine = run(f"""
        mov ax, 0xffff; mov ds, ax; mov word ptr cs:[0x700], 0x1111
        mov al, 0; out 0x92, al; mov bx, [0x710]
        mov al, 2; out 0x92, al; mov cx, [0x710]; {STOP}
    """)
    assert machine["bx"] & 0xFFFF == 0x1111
    assert machine["cx"] & 0xFFFF == 0


@pytest.mark.parametrize("engine", ["interp", "threaded"])
def test_strings_on_ports(engine: str) -> None:
    """INS reads CMOS bytes over and over; OUTS writes them downwards; both across a page's end."""
    machine = Computer(engine)
    machine.board.rtc.cmos[0x40] = 0xA5
    machine.run(f"""
        mov al, 0x40; out 0x70, al; mov dx, 0x71; mov di, 0x1ffe; mov cx, 4; cld; rep insb
        mov [0x700], di; mov [0x702], cx
        mov al, 0x41; out 0x70, al; mov byte ptr [0x2000], 0x77
        mov si, 0x2001; mov cx, 2; std; rep outsb; mov [0x704], si; cld; {STOP}
    """)
    assert machine.memory.read(0x1FFD, 6) == b"\0\xa5\xa5\x77\xa5\0"
    assert machine.memory.read(0x700, 6) == b"\x02\x20\0\0\xff\x1f"
    assert machine.board.rtc.cmos[0x41] == 0x77


@pytest.mark.parametrize("engine", ["interp", "threaded"])
def test_odd_ports_and_wide_accesses(engine: str) -> None:
    """A word at an odd port goes to the bus in one piece."""
    machine = Computer(engine)
    machine.run(f"mov dx, 0x71; mov al, 0x0d; out 0x70, al; in ax, dx; mov bx, ax; {STOP}")
    assert machine["bx"] & 0xFF == 0x80


def test_ferr_is_irq13() -> None:
    """With CR0.NE clear a floating-point exception raises IRQ13."""
    machine = computer("interp")
    raised: list[bool] = []
    line = machine.board.pics.slave.line(5)
    before = line.changed

    def note(level: bool) -> None:
        raised.append(level)
        before(level)

    line.changed = note
    machine.run(f"""
        {handler(0x75)}
        mov al, 0x11; out 0x20, al; mov al, 8; out 0x21, al; mov al, 4; out 0x21, al
        mov al, 1; out 0x21, al; mov al, 0xfb; out 0x21, al
        mov al, 0x11; out 0xa0, al; mov al, 0x70; out 0xa1, al; mov al, 2; out 0xa1, al
        mov al, 1; out 0xa1, al; mov al, 0xdf; out 0xa1, al
        sti; fninit; mov word ptr [0x600], 0x37b; fldcw [0x600]; fld1; fldz; fdivp; fwait; hlt
    """)
    assert machine["si"] & 0xFFFF == 1
    assert True in raised


# -- paging ----------------------------------------------------------------------------------------

PROTECTED = """
    cli; mov word ptr [0x600], 0x1f; mov dword ptr [0x602], offset gdt; lgdt [0x600]
    mov eax, cr0; or al, 1; mov cr0, eax; ljmp 8, offset protected
    .balign 8
    gdt: .quad 0, 0x00cf9a000000ffff, 0x00cf92000000ffff, 0
    .code32
    protected: mov ax, 0x10; mov ds, ax; mov es, ax; mov ss, ax; mov esp, 0x7000
"""
"""Into 32-bit protected mode with flat segments."""

IDENTITY = """
    mov edi, 0x11000; mov eax, 3; 1: stosd; add eax, 0x1000; cmp edi, 0x12000; jb 1b
    mov dword ptr [0x10000], 0x11003
    mov eax, 0x10000; mov cr3, eax; mov eax, cr0; or eax, 0x80000000; mov cr0, eax
"""
"""Paging, 4 MiB as they are: the directory is at 10000h, the table at 11000h."""


@pytest.mark.parametrize("engine", ["interp", "threaded"])
def test_pages_that_move(engine: str) -> None:
    """INVLPG and CR3 have the new place of a page seen, of data and of code."""
    machine = run(
        f"""{PROTECTED} {IDENTITY}
        mov dword ptr [0x20000], 0x11111111; mov dword ptr [0x21000], 0x22222222
        mov dword ptr [0x11000 + 4 * 0x30], 0x20003; mov esi, [0x30000]
        mov dword ptr [0x11000 + 4 * 0x30], 0x21003; invlpg [0x30000]; mov edi, [0x30000]
        mov dword ptr [0x11000 + 4 * 0x30], 0x20003; mov eax, cr3; mov cr3, eax; mov ebp, [0x30000]
        mov dword ptr [0x20010], 0xc301b3; mov dword ptr [0x21010], 0xc302b3
        mov ecx, 0x30010; call ecx; mov bh, bl
        mov dword ptr [0x11000 + 4 * 0x30], 0x21003; invlpg [0x30000]; call ecx
        {STOP}""",
        engine,
    )
    assert (machine["si"], machine["di"], machine["bp"]) == (0x11111111, 0x22222222, 0x11111111)
    assert machine["bx"] & 0xFFFF == 0x0102


@pytest.mark.parametrize("engine", ["interp", "threaded"])
def test_page_faults(engine: str) -> None:
    """CR2, the error code and EIP; the handler mends the page and the access is done again."""
    machine = run(
        f"""{PROTECTED} {IDENTITY}
        mov dword ptr [0x5000 + 8 * 14], offset mend + 0x80000
        mov dword ptr [0x5004 + 8 * 14], 0x8e00
        mov word ptr [0x600], 0x7ff; mov dword ptr [0x602], 0x5000; lidt [0x600]
        mov dword ptr [0x11000 + 4 * 0x30], 0x20000; mov dword ptr [0x20004], 0x55
        mov ebx, offset here; here: mov [0x30004], ebx
        mov eax, cr0; or eax, 0x10000; mov cr0, eax
        mov dword ptr [0x11000 + 4 * 0x31], 0x20001; mov [0x31004], esi
        {STOP}
        mend: mov esi, [esp]; mov edi, [esp + 4]; mov ebp, cr2; mov [0x700 + ecx * 4], esi
        mov [0x710 + ecx * 4], ebp; inc ecx
        mov edx, ebp; shr edx, 12; or dword ptr [0x11000 + edx * 4], 3; invlpg [ebp]
        add esp, 4; iretd""",
        engine,
    )
    assert machine["cx"] == 2
    words = [int.from_bytes(machine.memory.read(at, 4), "little") for at in range(0x700, 0x718, 4)]
    assert words[:2] == [2, 3]
    assert words[4:6] == [0x30004, 0x31004]


LONG = """
    mov edi, 0x10000; xor eax, eax; mov ecx, 0x1800; rep stosd
    mov dword ptr [0x10000], 0x11003; mov dword ptr [0x11000], 0x12003
    mov dword ptr [0x12000], 0x83; mov dword ptr [0x12008], 0x83
    mov dword ptr [0x1200c], 0x80000000
    mov eax, 0x20; mov cr4, eax; mov eax, 0x10000; mov cr3, eax
    mov ecx, 0xc0000080; mov eax, 0x900; xor edx, edx; wrmsr
    mov dword ptr gdt64 + 4, 0x00af9a00; mov eax, cr0; or eax, 0x80000000; mov cr0, eax
    ljmp 0x18, offset long
    .code64
    long: mov ax, 0x10; mov ds, ax; mov es, ax; mov ss, ax
"""
"""From there into 64-bit mode: pages of 2 MiB, the second one without code in it."""

PROTECTED_64 = PROTECTED.replace("92000000ffff, 0", "92000000ffff; gdt64: .quad 0")

GATE = """
    mov eax, offset {0} + 0x80000; mov [0x5000 + 16 * {1}], eax
    mov word ptr [0x5002 + 16 * {1}], 0x18; mov dword ptr [0x5004 + 16 * {1}], 0x8e00
"""


@pytest.mark.parametrize("engine", ["interp", "threaded"])
def test_long_mode(engine: str) -> None:
    """EFER.LMA; NX and addresses that are not canonical; R8; RIP-relative code; back by a fault."""
    machine = run(
        f"""{PROTECTED_64} {LONG} {GATE.format("page_fault", 14)} {GATE.format("protection", 13)}
        mov word ptr [0x600], 0xfff; mov qword ptr [0x602], 0x5000; lidt [0x600]
        mov ecx, 0xc0000080; rdmsr; mov r8, rax; shl r8, 32; shr r8, 32
        movabs rbx, 0x200010; mov byte ptr [rbx], 0xc3; lea r10, [rip + 1f]; call rbx
        1: movabs rbx, 0x800000000000; lea r10, [rip + 1f]; mov rax, [rbx]
        1: mov eax, ds; {STOP}
        page_fault: pop rsi; pop rdi; mov rbp, cr2; add rsp, 32; add rsp, 8; jmp r10
        protection: pop r9; inc r9; add rsp, 40; jmp r10""",
        engine,
        "qemu64",
    )
    assert machine["r8"] == 0xD00
    assert (machine["si"], machine["di"], machine["bp"]) == (0x11, 0x200010, 0x200010)
    assert machine["r9"] == 1


# -- registers by name -----------------------------------------------------------------------------


def test_registers_by_name() -> None:
    machine = Computer("interp", "qemu64")
    machine["ax"] = 0x1122334455667788
    assert (machine["ax"], machine["eax"]) == (0x1122334455667788, 0x55667788)
    machine["eax"] = 1
    assert machine["rax"] == 1
    machine["es"] = 0x1234
    assert (machine["es"], machine["es_base"]) == (0x1234, 0x12340)
    machine["eflags"] = 0x246
    assert machine["eflags"] == 0x246
    machine["r9"] = 5
    assert machine["r9"] == 5
    with pytest.raises(KeyError):
        machine["nonsense"]
