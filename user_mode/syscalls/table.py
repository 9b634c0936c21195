"""System calls as a table: what a call is, how a guest's number finds it, how it is made.

A call is a short function marked `@syscall`; its first parameter is the thread, the annotations of
the others say how registers become arguments (`user_mode.syscalls.types`).  It returns the result,
raises Errno, or returns None to leave the guest's registers as it has put them.  Calls that only
pass their arguments on to the host are rows of a text named DIRECT:

    fsync     fd:Fd                        waits       may block
    chown32   path:Lookup uid:Uid gid:Gid  =chown      the host's call of another name

A group is a module with such functions, such a text, or both.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, overload

from user_mode import host
from user_mode.errors import Errno
from user_mode.host_numbers import Nr
from user_mode.syscalls.types import ARGUMENTS

if TYPE_CHECKING:
    from user_mode.abi.base import SyscallAbi
    from user_mode.process import Thread
    from user_mode.strace import Strace

Function: TypeAlias = "Callable[..., int | None]"
Parameter: TypeAlias = "tuple[str, str]"
"""A parameter's name and the name of its type."""


class Syscall:
    """One system call: its name, its function, its parameters, and what EINTR means for it."""

    __slots__ = ("also", "function", "name", "parameters", "restarts")

    def __init__(
        self,
        name: str,
        function: Function,
        parameters: tuple[Parameter, ...],
        restarts: bool = True,
        also: tuple[str, ...] = (),
    ) -> None:
        self.name = name
        self.function = function
        self.parameters = parameters
        self.restarts = restarts
        """Whether it begins again after a handler with SA_RESTART; see signal(7)."""
        self.also = also
        """Other names of the same call."""

    def __call__(self, thread: Thread, *args: Any) -> int | None:
        """Make the call, with arguments already converted."""
        return self.function(thread, *args)


class Interrupted(NamedTuple):
    """What `Thread.interrupted` holds after EINTR: whoever delivers the signal decides."""

    restarts: bool
    """Begins again after a handler with SA_RESTART; every call does so when no handler ran."""
    overwritten: int
    """The register that the result has overwritten."""


@overload
def syscall(function: Function, /) -> Syscall: ...
@overload
def syscall(
    *, restarts: bool = True, also: tuple[str, ...] = ()
) -> Callable[[Function], Syscall]: ...
def syscall(
    function: Function | None = None, /, *, restarts: bool = True, also: tuple[str, ...] = ()
) -> Syscall | Callable[[Function], Syscall]:
    """Mark a function as the system call of its name (an underscore at the end does not count)."""

    def mark(made: Function) -> Syscall:
        code = made.__code__
        names = code.co_varnames[1 : code.co_argcount]
        annotations = made.__annotations__
        parameters = tuple((name, annotations[name]) for name in names)
        return Syscall(made.__name__.rstrip("_"), made, parameters, restarts, also)

    return mark if function is None else mark(function)


def direct(text: str) -> list[Syscall]:
    """The system calls of a DIRECT text."""
    return [_direct_row(line.split()) for line in text.splitlines() if line.strip()]


def _direct_row(words: list[str]) -> Syscall:
    name, *rest = words
    parameters = []
    host_name, waits = name, False
    for word in rest:
        if word.startswith("="):
            host_name = word[1:]
        elif word == "waits":
            waits = True
        else:
            parameter, _, type_ = word.partition(":")
            parameters.append((parameter, type_))
    number = getattr(Nr, host_name)
    return Syscall(name, _waiting(number) if waits else _quick(number), tuple(parameters))


def _quick(number: int) -> Function:
    call = host.call

    def pass_on(thread: Thread, *args: int | bytes) -> int:
        return call(number, *args)

    return pass_on


def _waiting(number: int) -> Function:
    def pass_on(thread: Thread, *args: int) -> int:
        return host.blocking(thread, number, *args)

    return pass_on


def collect(groups: Iterable[ModuleType]) -> dict[str, Syscall]:
    """All system calls of some groups, by name; a name that comes twice is an error."""
    found: dict[str, Syscall] = {}
    for group in groups:
        own = [value for value in vars(group).values() if isinstance(value, Syscall)]
        for one in own + direct(getattr(group, "DIRECT", "")):
            for name in (one.name, *one.also):
                if name in found and found[name] is not one:
                    raise ValueError(
                        f"system call {name} is defined twice, again in {group.__name__}"
                    )
                found[name] = one
    return found


class SyscallTable:
    """The system calls of one guest ABI: `perform` makes the one that a thread asks for."""

    def __init__(
        self, abi: SyscallAbi, groups: Iterable[ModuleType], strace: Strace | None = None
    ) -> None:
        self.abi = abi
        self.calls = collect(groups)
        self._strace = strace
        self._convention = abi.convention
        self._number = abi.convention.number
        self._succeed = abi.convention.succeed
        self._fail = abi.convention.fail
        self._bound: dict[int, Callable[[Thread], int | None]] = {}

    def perform(self, thread: Thread) -> None:
        """Make the system call that the thread's registers describe, and put its result there."""
        cpu = thread.cpu
        number = self._number(cpu)
        invoke = self._bound.get(number)
        if invoke is None:
            invoke = self._bound[number] = self._bind(number)
            if self.call_of(number) is None:
                thread.process.unknown_syscall(self.name_of(number))
        try:
            result = invoke(thread)
        except Errno as error:
            self._fail_with(thread, number, error.code)
            return
        except OSError as error:
            self._fail_with(thread, number, error.errno or errno.EIO)
            return
        if result is not None:
            self._succeed(cpu, result)

    def call_of(self, number: int) -> Syscall | None:
        """The call behind a guest's number; None if there is none here."""
        return self.calls.get(self.abi.numbers.get(number, ""))

    def name_of(self, number: int) -> str:
        """The name of a guest's number, known or not."""
        return self.abi.numbers.get(number, f"syscall_{number}")

    def _fail_with(self, thread: Thread, number: int, code: int) -> None:
        if code == errno.EINTR:
            call = self.call_of(number)
            before = self._convention.overwritten(thread.cpu)
            thread.interrupted = Interrupted(call is None or call.restarts, before)
        self._fail(thread.cpu, self.abi.errno_to_guest(code))

    def _bind(self, number: int) -> Callable[[Thread], int | None]:
        """The whole way of one call as one function: fetch, convert, make, and show."""
        call = self.call_of(number)
        name = self.name_of(number)
        if call is None:
            call = Syscall(name, _unknown, ())
        invoke = self._converting(call)
        return invoke if self._strace is None else self._traced(call, name, invoke, self._strace)

    def _converting(self, call: Syscall) -> Callable[[Thread], int | None]:
        function = call.function
        types = [ARGUMENTS[type_] for _, type_ in call.parameters]
        read = self._convention.reader(tuple(one.kind for one in types))
        converters = [(i, one.convert) for i, one in enumerate(types) if one.convert]
        if not types:
            return function
        if not converters:
            return lambda thread: function(thread, *read(thread.cpu))

        def invoke(thread: Thread) -> int | None:
            values: list[Any] = [*read(thread.cpu)]
            for i, convert in converters:
                values[i] = convert(thread, values[i])
            return function(thread, *values)

        return invoke

    def _traced(
        self, call: Syscall, name: str, invoke: Callable[[Thread], int | None], strace: Strace
    ) -> Callable[[Thread], int | None]:
        types = call.parameters
        if name not in self.calls:
            types = tuple((f"argument{i}", "ULong") for i in range(6))
        read = self._convention.reader(tuple(ARGUMENTS[type_].kind for _, type_ in types))

        def traced(thread: Thread) -> int | None:
            strace.enter(thread, name, types, read(thread.cpu))
            try:
                result = invoke(thread)
            except Errno as error:
                strace.fail(thread, name, error.code)
                raise
            except OSError as error:
                strace.fail(thread, name, error.errno or errno.EIO)
                raise
            strace.leave(thread, name, result)
            return result

        return traced


def _unknown(thread: Thread) -> int:
    raise Errno(errno.ENOSYS)
