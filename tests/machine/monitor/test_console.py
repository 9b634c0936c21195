"""The monitor's line: echo, editing, history."""

from __future__ import annotations

from machine.chardev import MemoryCharacters, Mux
from machine.monitor.commands import Session
from machine.monitor.console import Monitor
from tests.machine.monitor.fake_machine import FakeMachine


def talk(*typed: bytes) -> str:
    device = MemoryCharacters()
    Monitor(Session(FakeMachine()), device)
    device.written.clear()
    for part in typed:
        device.type(part)
    return device.written.decode()


def test_it_greets() -> None:
    device = MemoryCharacters()
    Monitor(Session(FakeMachine()), device)
    assert device.written.endswith(b" monitor - type 'help' for more information\r\n(qemu) ")


def test_a_command() -> None:
    assert talk(b"p 6*7\r") == "p 6*7\r\n42\r\n(qemu) "


def test_return_and_line_feed_are_one_end() -> None:
    assert talk(b"p 1\r\np 2\n").count("(qemu) ") == 2


def test_backspace_and_ctrl_u() -> None:
    assert "\r\n42\r\n" in talk(b"p 6*8\x7f7\r")
    assert "unknown" not in talk(b"nonsense\x15p 1\r")


def test_history() -> None:
    assert talk(b"p 1\rp 2\r", b"\x1b[A\x1b[A\r").endswith("p 1\r\n1\r\n(qemu) ")


def test_completion() -> None:
    assert "info registers \r\n" in talk(b"info reg\t\r")
    assert "system_powerdown  system_reset" in talk(b"system_\t")


def test_a_mux_switches_between_a_line_and_the_monitor() -> None:
    device = MemoryCharacters()
    ended: list[bool] = []
    mux = Mux(device, lambda: ended.append(True))
    line = bytearray()
    mux.end().receive = line.extend
    Monitor(Session(FakeMachine()), mux.end())
    device.type(b"one\x01cp 5\r\x01ctwo\x01\x01\x01x")
    assert line == b"onetwo\x01"
    assert b"\r\n5\r\n" in device.written
    assert ended == [True]
