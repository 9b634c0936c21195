"""Character devices, the thread that waits for them, and serial lines."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from machine.character_options import CharacterOptions, read_character
from machine.chardev import (
    Buffered,
    CharacterDevice,
    CharacterLoop,
    FileCharacters,
    MemoryCharacters,
    Pty,
    Socket,
    Stdio,
    open_characters,
)
from machine.devices.uart import Uart
from machine.errors import MachineError
from machine.line import Line
from machine.serial_line import MOST_WAITING, SerialLine
from tests.machine.fakes import FakeTime


class Collector:
    """A loop, and what its devices received."""

    def __init__(self) -> None:
        self.loop = CharacterLoop(threading.RLock())
        self.got = bytearray()

    def add(self, device: CharacterDevice) -> None:
        device.receive = self.got.extend
        self.loop.add(device)

    def until(self, length: int) -> bytes:
        for _ in range(100):
            if len(self.got) >= length:
                break
            self.loop.once(100)
        return bytes(self.got)


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.loop.close()


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_text("old")
    for append, expected in ((False, b"new"), (True, b"newnew")):
        device = FileCharacters(str(path), append=append)
        device.write(b"new")
        device.close()
        assert path.read_bytes() == expected


def test_a_file_that_cannot_be_written() -> None:
    with pytest.raises(MachineError, match="cannot write /nowhere/x: No such file"):
        open_characters(CharacterOptions("file", "/nowhere/x"), "serial0")


def test_stdio_through_pipes(collector: Collector) -> None:
    (theirs_out, ours_in), (ours_out, theirs_in) = os.pipe()[::-1], os.pipe()
    ours_in, theirs_out = theirs_out, ours_in
    read_end, write_end = os.pipe()
    device = Stdio(fd_in=read_end, fd_out=theirs_in)
    collector.add(device)
    os.write(write_end, b"typed")
    assert collector.until(5) == b"typed"
    device.write(b"shown")
    assert os.read(ours_out, 100) == b"shown"
    os.close(write_end)
    collector.loop.once(100)
    assert list(device.descriptors()) == []  # the end of input is not the end of the machine
    for fd in (read_end, ours_in, theirs_out, ours_out, theirs_in):
        os.close(fd)


def test_nobody_reads_what_is_written() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    device = Stdio(fd_in=0, fd_out=write_end)
    device.write(b"x")
    device.write(b"y")
    device.close()
    os.close(write_end)


def test_a_pseudoterminal(collector: Collector, capfd: pytest.CaptureFixture[str]) -> None:
    device = Pty("serial0")
    collector.add(device)
    assert capfd.readouterr().err == (f"char device redirected to {device.name} (label serial0)\n")
    for _ in range(2):  # opened, closed, opened again
        collector.got.clear()
        theirs = os.open(device.name, os.O_RDWR | os.O_NOCTTY)
        os.write(theirs, b"hello\n")
        assert collector.until(6) == b"hello\n"
        device.write(b"there")
        assert os.read(theirs, 100) == b"there"
        os.close(theirs)


def test_a_server_takes_one_client_after_the_other(collector: Collector) -> None:
    device = Socket(read_character("-serial", "tcp:127.0.0.1:0,server,nowait"))
    collector.add(device)
    device.write(b"lost")
    for text in (b"first", b"second"):
        collector.got.clear()
        with socket.create_connection(device.address) as client:
            collector.loop.once(1000)
            client.sendall(text)
            assert collector.until(len(text)) == text
            device.write(b"answer")
            assert client.recv(100) == b"answer"
        for _ in range(20):
            if device.fd is None:
                break
            collector.loop.once(50)
        assert device.fd is None


def test_a_client(collector: Collector) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        collector.add(Socket(read_character("-serial", f"tcp:127.0.0.1:{port}")))
        connection, _ = server.accept()
        with connection:
            connection.sendall(b"abc")
            assert collector.until(3) == b"abc"


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(MachineError, match=f"cannot connect to 127.0.0.1:{port}: .*refused"):
        Socket(read_character("-serial", f"tcp:127.0.0.1:{port}"))


def test_a_slow_reader_gets_everything(collector: Collector) -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    device = Buffered(os.dup(ours.fileno()))
    collector.add(device)
    data = bytes(range(256)) * 2000
    device.write(data)
    got = bytearray()
    while len(got) < len(data):
        collector.loop.once(0)
        got += theirs.recv(65536)
    assert got == data
    ours.close()
    theirs.close()


def test_a_serial_line_waits_for_room_in_the_uart() -> None:
    device = MemoryCharacters()
    line = SerialLine(device)
    uart = Uart(FakeTime().clock, Line(), line.send)
    line.connect(uart)
    device.type(b"hello")
    assert bytes(uart.read(0) for _ in range(5)) == b"hello"
    uart.write(0, ord("!"))
    assert device.written == b"!"


def test_a_serial_line_that_nobody_reads_says_stop() -> None:
    device = MemoryCharacters()
    told: list[bool] = []
    line = SerialLine(device, lambda: told.append(True))
    uart = Uart(FakeTime().clock, Line(), line.send)
    line.connect(uart)
    device.type(bytes(MOST_WAITING + 1))
    assert not device.wants()
    uart.read(0)
    assert (device.wants(), told) == (True, [True])
