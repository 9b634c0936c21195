"""The monitor's commands without a machine that runs; texts are QEMU's where it has them."""

from __future__ import annotations

from pathlib import Path

import pytest

from machine.monitor.commands import COMMANDS, Session, execute
from machine.monitor.info import SUBJECTS
from tests.machine.monitor.fake_machine import FakeMachine, ask


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("p 1+2*3", "7\n"),
        ("p/x $eip", "0xfff0\n"),
        ("print /x 0x10|3+4", "0x17\n"),
        ("p/o 8", "010\n"),
        ("p/c 65", "'A'\n"),
        ("p -5", "-5\n"),
        ("p/u -5", "18446744073709551611\n"),
        ("p ~0 & 0xff", "255\n"),
        ("p -7/2", "-3\n"),
        ("p -7%2", "-1\n"),
        ("p 'a' + 1", "98\n"),
        ("p (1+2)*$cs", "184320\n"),
        ("p 010", "8\n"),
        ("p/x $dx - $dl", "0x600\n"),
    ],
)
def test_expressions(line: str, answer: str) -> None:
    assert ask(line) == answer


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("foo", "unknown command: 'foo'\n"),
        ("info foo", "unknown command: 'info foo'\n"),
        ("p", "unexpected end of expression\n"),
        ("p 1/0", "division by zero\n"),
        ("p $foo", "unknown register $foo\n"),
        ("p $r8", "this processor has no register $r8\n"),
        ("p (1 +", "cannot read the expression (1 +\n"),
        ("p 1 2", "print: extraneous characters at the end of line\n"),
        ("x/4q 0", "invalid char in format: 'q'\n"),
        ("x/99999999x 0", "that is 399999996 bytes; at most 1048576 are shown\n"),
        ("eject", "eject: [-f] device expected\n"),
        ("eject ide1-cd0", "Error: Device 'ide1-cd0' not found\n"),
        ("change", "change: device file [format [mode]] expected\n"),
        ("memsave 0 16 /nowhere/x", "cannot write /nowhere/x: No such file or directory\n"),
        ('sum 0 "', 'cannot read the expression "\n'),
    ],
)
def test_errors_are_one_line(line: str, answer: str) -> None:
    hint = f'Try "help {line.split(maxsplit=1)[0]}" for more information\n'
    assert ask(line).removesuffix(hint) == answer


def test_memory() -> None:
    machine = FakeMachine()
    machine.ram.data[0x100:0x10A] = bytes.fromhex("432483c4205b5e5f5dc3")
    assert ask("x /10xb 0x100", machine) == (
        "00000100: 0x43 0x24 0x83 0xc4 0x20 0x5b 0x5e 0x5f\n00000108: 0x5d 0xc3\n"
    )
    assert ask("xp /2dh 0x100", machine) == "0000000000000100:  9283 -15229\n"
    assert ask("xp /4cb 0x100", machine) == "0000000000000100: 'C' '$' '\\x83' '\\xc4'\n"
    assert ask("x /4xw 0xfffffff0", machine) == "fffffff0: Cannot access memory\n"


def test_the_format_stays() -> None:
    session = Session(FakeMachine())
    assert execute(session, "xp /1xb 0").endswith(": 0x00\n")
    assert execute(session, "xp 0").endswith(": 0x00\n")


def test_instructions_in_real_mode() -> None:
    machine = FakeMachine()
    machine.ram.data[0x100:0x109] = bytes.fromhex("ea5be000f030362f32")
    assert ask("xp /2i 0x100", machine) == (
        "0x00000100:  ea 5b e0 00 f0           ljmpw    $0xf000:$0xe05b\n"
        "0x00000105:  30 36 2f 32              xorb     %dh, 0x322f\n"
    )


def test_ports() -> None:
    machine = FakeMachine()
    assert ask("o /b 0x70 0x0d", machine) == ""
    assert ask("i /b 0x71", machine) == "portb[0x0071] = 0x80\n"
    ask("o /w 0xcf8 0x80000000", machine)
    assert ask("i /w 0xcfc", machine) == "portl[0x0cfc] = 0x12378086\n"


def test_registers_after_reset() -> None:
    rows = ask("info registers").splitlines()
    assert rows[1:7] == [
        "CPU#0",
        "EAX=00000000 EBX=00000000 ECX=00000000 EDX=00000663",
        "ESI=00000000 EDI=00000000 EBP=00000000 ESP=00000000",
        "EIP=0000fff0 EFL=00000002 [-------] CPL=0 II=0 A20=1 SMM=0 HLT=0",
        "ES =0000 00000000 0000ffff 00009300",
        "CS =f000 ffff0000 0000ffff 00009b00",
    ]
    assert "GDT=     00000000 0000ffff" in rows
    assert "CR0=60000010 CR2=00000000 CR3=00000000 CR4=00000000" in rows


def test_a_flat_segment_shows_its_limit() -> None:
    machine = FakeMachine()
    machine.registers |= {"ds": 0x10, "ds_limit": 0xFFFFFFFF, "ds_rights": 0xC09300}
    assert "DS =0010 00000000 ffffffff 00cf9300" in ask("info registers", machine)


def test_page_tables_of_two_levels() -> None:
    machine = FakeMachine()
    machine.registers |= {"cr0": 0x80000011, "cr3": 0x1000, "cr4": 0x10}
    put(machine, 0x1000, 0x2007)
    put(machine, 0x1004, 0x00400083)
    put(machine, 0x2000 + 4 * 5, 0x00007025)
    put(machine, 0x2000 + 4 * 6, 0x00009025)
    assert ask("info tlb", machine) == (
        "0000000000005000: 0000000000007000 ----A--U-\n"
        "0000000000006000: 0000000000009000 ----A--U-\n"
        "0000000000400000: 0000000000400000 --P-----W\n"
    )
    assert ask("info mem", machine) == (
        "0000000000005000-0000000000007000 0000000000002000 ur-\n"
        "0000000000400000-0000000000800000 0000000000400000 -rw\n"
    )


def put(machine: FakeMachine, address: int, entry: int) -> None:
    machine.ram.data[address : address + 4] = entry.to_bytes(4, "little")


def test_running_and_ending() -> None:
    machine = FakeMachine()
    ask("stop", machine)
    assert ask("info status", machine) == "VM status: paused\n"
    ask("c", machine)
    for line in ("system_reset", "system_powerdown", "q"):
        assert ask(line, machine) == ""
    assert machine.status == "running"
    assert machine.called == ["reset", "power button", "quit"]


def test_mouse_moves_down_as_the_screen_does() -> None:
    machine = FakeMachine()
    machine.board.mouse.receive(0xF4)
    machine.board.mouse.waiting.clear()
    ask("mouse_move 3 5", machine)
    assert list(machine.board.mouse.waiting) == [0x28, 3, 0xFB]


def test_saving_memory(tmp_path: Path) -> None:
    machine = FakeMachine()
    machine.ram.data[0x1000:0x3000] = bytes(range(256)) * 32
    assert ask(f'pmemsave 0x1000 0x2000 "{tmp_path / "out"}"', machine) == ""
    assert (tmp_path / "out").read_bytes() == bytes(range(256)) * 32


def test_changing_a_medium() -> None:
    machine = FakeMachine()
    machine.drives = {"ide1-cd0": object()}
    assert ask("change ide1-cd0 'a b.iso' raw read-only", machine) == ""
    assert machine.called == [("ide1-cd0", "a b.iso", "raw", True)]


def test_every_subject_answers() -> None:
    for name in SUBJECTS:
        assert isinstance(ask(f"info {name}"), str), name


def test_help_names_every_command() -> None:
    text = ask("help")
    assert all("|".join(command.names) in text for command in COMMANDS)
    assert ask("help x") == "x /fmt addr -- memory at a virtual address\n"
