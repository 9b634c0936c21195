"""The compile worker: it answers, it does not show, it is no loss when it dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.llvm.blob import Blob
from backend.llvm.client import URGENT, Client, WorkerError
from backend.llvm.worker import Queue
from tcg.descriptors import FIRST_PRIVATE

ROOT = Path(__file__).parents[2]
IDENTITY = "define i64 @f(i64 %x) nounwind { ret i64 %x }"


@pytest.fixture
def own(request: pytest.FixtureRequest) -> Iterator[Client]:
    """A client whose worker may be killed."""
    made = Client()
    yield made
    made.close()


def pid_of_worker(client: Client) -> int:
    pid: int = client.call("version")["pid"]
    return pid


def test_it_compiles(client: Client) -> None:
    blob = Blob.unpack(client.call("compile", {"text": IDENTITY})["blob"])
    assert blob.exports == {"f": 0}
    assert blob.relocations == ()


def test_listings_are_made_when_asked_for(client: Client) -> None:
    request = {"text": IDENTITY, "listing": {"optimized": True, "assembly": True}}
    made = client.call("compile", request)
    assert "memory(none)" in made["optimized"], "what LLVM found out about it"
    assert "retq" in made["assembly"]
    assert client.call("compile", {"text": IDENTITY})["assembly"] == ""


def test_options_reach_llvm(client: Client) -> None:
    text = "define i64 @f(i64 %x) nounwind { %a = add i64 %x, 0\n ret i64 %a }"
    listing = {"optimized": True}
    plain = client.call("compile", {"text": text, "listing": listing, "options": {"level": 0}})[
        "optimized"
    ]
    assert "add i64" in plain
    assert "add i64" not in client.call("compile", {"text": text, "listing": listing})["optimized"]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("define i64 @f() { ret i32 0 }", "value doesn't match function result type 'i64'"),
        ("define void @f() {\na:\n  br label %a\n}", "Entry block to function must not have"),
        ("@x = external thread_local global i8", None),
    ],
)
def test_bad_text_is_an_error_that_keeps_the_text(
    client: Client, text: str, error: str | None
) -> None:
    if error is None:
        client.call("compile", {"text": text})
        return
    with pytest.raises(WorkerError, match=error) as caught:
        client.call("compile", {"text": text})
    saved = Path(str(caught.value).rpartition("the module is in ")[2])
    assert saved.read_text() == text
    saved.unlink()


def test_an_error_in_a_service_is_an_answer(client: Client) -> None:
    with pytest.raises(WorkerError, match=r"^KeyError: 'nonsense'\ndetails are in ") as caught:
        client.call("nonsense", [1, 2])
    saved = Path(str(caught.value).rpartition("details are in ")[2])
    assert "nonsense [1, 2]" in saved.read_text().replace("(1, 2)", "[1, 2]")
    saved.unlink()
    assert client.call("version")


def test_answers_find_their_askers(client: Client) -> None:
    got: dict[int, object] = {}
    done = threading.Semaphore(0)

    def ask(number: int) -> None:
        def reply(result: object, error: str | None) -> None:
            assert error is None
            assert isinstance(result, dict)
            got[number] = Blob.unpack(result["blob"]).exports
            done.release()

        client.submit("compile", {"text": IDENTITY.replace("@f", f"@f{number}")}, reply)

    for i in range(20):
        ask(i)
    for _ in range(20):
        assert done.acquire(timeout=30)
    assert got == {i: {f"f{i}": 0} for i in range(20)}


def test_the_urgent_comes_first() -> None:
    queue = Queue()
    queue.put(1, 10, "region", {"a": 1})
    queue.put(2, 10, "region", {"a": 0})
    queue.put(3, URGENT, "handlers", None)
    assert [queue.get()[0] for _ in range(3)] == [3, 1, 2]


def test_it_is_nobodys_child(own: Client) -> None:
    heard: list[int] = []
    old = signal.signal(signal.SIGCHLD, lambda number, _frame: heard.append(number))
    try:
        pid = pid_of_worker(own)
        with pytest.raises(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)
    finally:
        signal.signal(signal.SIGCHLD, old)
    assert heard == []
    assert os.getsid(pid) != os.getsid(0)
    assert os.getpgid(pid) != os.getpgid(0)
    assert os.getpriority(os.PRIO_PROCESS, pid) > os.getpriority(os.PRIO_PROCESS, 0)


def test_its_socket_is_out_of_the_guests_way(own: Client) -> None:
    before = set(os.listdir("/proc/self/fd"))
    own.call("version")
    new = {int(fd) for fd in set(os.listdir("/proc/self/fd")) - before}
    assert [fd >= FIRST_PRIVATE for fd in new if os.path.exists(f"/proc/self/fd/{fd}")] == [True]
    assert own._socket is not None
    assert not own._socket.get_inheritable()


def test_terminal_signals_do_not_reach_it(own: Client) -> None:
    pid = pid_of_worker(own)
    for signo in (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP, signal.SIGHUP):
        os.kill(pid, signo)
    assert own.call("version")


def test_when_it_dies_requests_fail_and_one_line_says_so(own: Client) -> None:
    lines: list[str] = []
    own._log = lines.append
    os.kill(pid_of_worker(own), signal.SIGKILL)
    for _ in range(3):
        with pytest.raises(WorkerError, match="worker"):
            own.call("version")
    assert len(lines) == 1
    assert "going on without" in lines[0] or "cannot reach" in lines[0]


def test_a_child_after_fork_has_a_worker_of_its_own(own: Client) -> None:
    parents = own.call("version")
    pid = os.fork()
    if pid == 0:
        own.after_fork_in_child()
        alone = not own.is_running
        os._exit(0 if alone and own.call("version")["llvm"] == parents["llvm"] else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert own.call("version") == parents


ORPHAN = """
import sys, time
sys.path.insert(0, {root!r})
from backend.llvm.client import Client
client = Client()
client.call("version")
client.submit("compile", {{"text": open({slow!r}).read()}}, print)
print("ready", flush=True)
time.sleep(60)
"""


def test_it_ends_with_its_client_even_in_the_middle_of_something(tmp_path: Path) -> None:
    slow = tmp_path / "slow.ll"
    slow.write_text("\n".join(IDENTITY.replace("@f", f"@f{i}") for i in range(30_000)))
    before = workers()
    run = subprocess.Popen(
        [sys.executable, "-c", ORPHAN.format(root=str(ROOT), slow=str(slow))],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert run.stdout is not None
    assert run.stdout.readline() == "ready\n"
    started = workers() - before
    assert started
    run.kill()
    run.wait()
    run.stdout.close()
    deadline = time.monotonic() + 10
    while workers() & started and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not workers() & started


def workers() -> set[int]:
    """The processes that are compile workers."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if b"backend.llvm.worker import main" in line and b"Client" not in line:
            found.add(int(folder.name))
    return found
