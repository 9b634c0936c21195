"""The engines of a whole machine: memory, devices, code that changes, all alike."""

from __future__ import annotations

import shutil

import pytest

from tests.machine.bare import ENGINES, START, Bare, run

pytestmark = pytest.mark.skipif(not shutil.which("as"), reason="needs binutils")

REGISTERS = ("eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi")


def registers(bare: Bare) -> dict[str, int]:
    return {name: bare.get(name) for name in REGISTERS}


def each(text: str) -> list[Bare]:
    """Runs a program on all engines; registers and low memory must be alike."""
    made = [run(engine, text) for engine in ENGINES]
    first = made[0]
    for other in made[1:]:
        assert registers(other) == registers(first), other.engine
        assert other.memory.read(0, 0xA0000) == first.memory.read(0, 0xA0000), other.engine
        assert other.accesses == first.accesses, other.engine
    return made


def test_loop_with_calls_and_memory() -> None:
    bare = each("""
        mov ax, 1
        mov cx, 300
        mov bx, 0x500
    1:  add ax, cx
        mov [bx], ax
        add dx, [bx]
        push ax
        call 2f
        pop si
        loop 1b
        hlt
    2:  xor ax, 0x55
        ret
    """)[0]
    assert bare.get("ecx") == 0


def test_accesses_across_pages() -> None:
    bare = each("""
        mov cx, 60
        mov bx, 0x1fe1
    1:  mov eax, 0x12345678
        add eax, ecx
        mov [bx], eax
        mov edx, [bx]
        add ebp, edx
        inc bx
        loop 1b
        fninit
        fldpi
        fstp tbyte ptr [0x2ffb]
        fld tbyte ptr [0x2ffb]
        fstp qword ptr [0x3000]
        hlt
    """)[0]
    assert bare.memory.read(0x3000, 8).hex() == "182d4454fb210940"


def test_device() -> None:
    bare = each("""
        mov ax, 0xd000
        mov es, ax
        mov ds, ax
        mov cx, 40
    1:  mov eax, [0x10]
        mov [0x20], ax
        mov [0x31], al
        loop 1b
        add dword ptr [0x40], 5
        mov cx, 6
        xor si, si
        mov di, 0x100
        rep movsb
        mov cx, 3
        rep stosw
        mov eax, [0xffe]
        hlt
    """)[0]
    assert bare.accesses[:3] == [
        ("r", 0x10, 4, 0x44332221), ("w", 0x20, 2, 0x2221), ("w", 0x31, 1, 0x21)
    ]  # fmt: skip
    assert len([one for one in bare.accesses if one[0] == "w"]) == 80 + 1 + 6 + 3


def test_strings_over_pages() -> None:
    each("""
        mov cx, 0x1800
        mov di, 0x1003
        mov al, 0x5a
        rep stosb
        mov cx, 0x1000
        mov si, 0x1001
        mov di, 0x4ffd
        rep movsw
        std
        mov si, 0x5fff
        mov di, 0x7003
        mov cx, 0x900
        rep movsb
        cld
        mov di, 0x1003
        mov cx, 0xffff
        repe scasb
        hlt
    """)


def test_code_that_changes_itself() -> None:
    bare = each("""
        mov cx, 100
    1:  inc byte ptr [2f + 1]
    2:  mov al, 0
        add dx, ax
        mov byte ptr [3f], 0x90
    3:  inc bx
        loop 1b
        hlt
    """)[0]
    assert bare.get("edx") == 100 * 101 // 2
    assert bare.get("ebx") == 0


def test_code_next_to_data() -> None:
    """Data in the same page, and in the same 64 bytes, as the code that writes it."""
    bare = each("""
        jmp 1f
    9:  .word 0, 0
    1:  mov cx, 200
    2:  add [9b], cx
        add word ptr [0x7e00], 1
        loop 2b
        mov ax, [9b]
        hlt
    """)[0]
    assert bare.get("eax") == 200 * 201 // 2 & 0xFFFF


def test_code_that_is_overwritten() -> None:
    bare = each("""
        mov cx, 3
    1:  push cx
        mov si, offset 8f
        cmp cx, 2
        jne 2f
        mov si, offset 9f
    2:  mov di, 0x9000
        mov cx, 4
        rep movsb
        mov ax, 0x9000
        call ax
        pop cx
        loop 1b
        hlt
    8:  add dx, 1
        ret
    9:  add dx, 7
        ret
    """)[0]
    assert bare.get("edx") == 9


def test_instruction_on_two_pages() -> None:
    bare = each("""
        mov byte ptr [0x8fff], 0x05     # add ax, imm16
        mov word ptr [0x9000], 3
        mov byte ptr [0x9002], 0xc3
        mov cx, 50
    1:  mov dx, 0x8fff
        call dx
        loop 1b
        mov word ptr [0x9000], 100
        call dx
        hlt
    """)[0]
    assert bare.get("eax") == 250


def test_a_device_writes_code() -> None:
    for engine in ENGINES:
        bare = Bare(engine)
        bare.load("""
            mov cx, 50
        1:  call 2f
            loop 1b
            hlt
            jmp 1b
            .org 0x80
        2:  mov al, 1
            ret
        """)
        assert bare.go().kind == "syscall"
        bare.memory.write(START + 0x81, b"\x07")
        bare.set("ecx", 1)
        assert bare.go().kind == "syscall"
        assert bare.get("eax") == 7, engine


def test_x87_stack_across_accesses() -> None:
    """Registers of the stack are right where an access leaves: a page with code is written."""
    bare = each("""
        fninit
        fld1
        fldz
        mov cx, 200
    1:  fadd st, st(1)
        fld st
        fstp qword ptr [0x6ff8]
        fst dword ptr [2f]
        fld1
        faddp st(2), st
        loop 1b
        fstp qword ptr [0x7000]
        fstp qword ptr [0x7008]
        hlt
        .balign 4
    2:  .long 0
    """)[0]
    assert bare.memory.read(0x7000, 8).hex() == "0000000000a1d340"


@pytest.mark.parametrize("engine", ENGINES)
def test_step(engine: str) -> None:
    bare = Bare(engine)
    bare.load("mov ax, 1\n inc ax\n jmp 1f\n nop\n1: push ax\n hlt")
    places = []
    for _ in range(4):
        assert bare.runner.step(bare.cpu).kind == "event"
        places.append(bare.cpu.pc - START)
    assert places == [3, 4, 7, 8]
    assert bare.get("esp") == START - 2
