"""What the system call layer has to know of a guest's ABI, in one object."""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from user_mode.abi import linux
from user_mode.abi.flags import Flags
from user_mode.abi.layout import Converter, Structs
from user_mode.abi.x86_64.constants import CONSTANTS as HOST_CONSTANTS
from user_mode.abi.x86_64.structs import STRUCTS as HOST_STRUCTS
from user_mode.errors import Errno

if TYPE_CHECKING:
    from user_mode.abi.linux import Constants
    from user_mode.process import Process


class Convention(Protocol):
    """How a guest passes a system call's number and arguments, and gets its result."""

    def number(self, cpu: Any) -> int:
        """The call's number."""

    def reader(self, kinds: tuple[str, ...]) -> Callable[[Any], Sequence[int]]:
        """A function that fetches arguments of these kinds from a CPU.

        Kinds: `s32`, `u32`, `long`, `ulong`, and `s64`, `u64`, which take two registers on a 32-bit
        ABI.
        """

    def succeed(self, cpu: Any, value: int) -> None:
        """Give the guest its result."""

    def fail(self, cpu: Any, error: int) -> None:
        """Give the guest an errno."""

    def overwritten(self, cpu: Any) -> int:
        """The register that the result is about to overwrite, for a call that begins again."""


class SyscallAbi:
    """The tables of one ABI, and the ways between it and the host's."""

    def __init__(
        self,
        numbers: Mapping[int, str],
        structs: Structs,
        constants: Constants,
        convention: Convention,
        machine: bytes,
    ) -> None:
        """`machine` is what uname(2) says of the hardware."""
        self.numbers = numbers
        self.structs = structs
        self.constants = constants
        self.convention = convention
        self.machine = machine
        self.release = b""
        """What uname(2) says of the kernel's release; empty for the host's."""
        self.long_size = structs.model.long_size
        self.byte_order = structs.model.byte_order
        self.to_host = Converter(structs, HOST_STRUCTS)
        """Structure name and bytes of the guest to the host's bytes."""
        self.to_guest = Converter(HOST_STRUCTS, structs)
        """Structure name and bytes of the host to the guest's bytes."""
        self.host_structs = HOST_STRUCTS

    def raises_float_exceptions(self, _cpu: Any, /) -> bool:
        """Whether PR_SET_FPEXC has floating-point exceptions raised; EINVAL where it is unknown."""
        raise Errno(errno.EINVAL)

    def raise_float_exceptions(self, _cpu: Any, _are_raised: bool, /) -> None:
        """PR_SET_FPEXC; EINVAL where it is unknown."""
        raise Errno(errno.EINVAL)

    def clocks_were_read(self, _process: Process, /) -> None:
        """The program asked for the time: a vDSO that tells it may want to know too."""

    @cached_property
    def open_flags(self) -> Flags:
        """O_*, as open(2) and fcntl(2) have them."""
        return Flags(self.constants.open_flags, HOST_CONSTANTS.open_flags)

    @cached_property
    def map_flags(self) -> Flags:
        """MAP_*"""
        return Flags(self.constants.map_flags, HOST_CONSTANTS.map_flags)

    @cached_property
    def mlockall_flags(self) -> Flags:
        """MCL_*"""
        return Flags(self.constants.mlockall_flags, HOST_CONSTANTS.mlockall_flags)

    @cached_property
    def socket_flags(self) -> Flags:
        """SOCK_NONBLOCK and SOCK_CLOEXEC, beside a socket's type."""
        return Flags(self.constants.socket_flags, HOST_CONSTANTS.socket_flags)

    @cached_property
    def termios_flags(self) -> dict[str, Flags]:
        """The four flag words of struct termios, by field."""
        host = HOST_CONSTANTS.termios_flags
        return {
            word: Flags(guest, host[word], linux.TERMIOS_FIELDS)
            for word, guest in self.constants.termios_flags.items()
        }

    @cached_property
    def ioctl_names(self) -> dict[int, str]:
        """The names of the requests of ioctl(2), by the guest's numbers."""
        return {v: k for k, v in self.constants.ioctls(self.long_size).items()}

    @cached_property
    def host_ioctls(self) -> dict[str, int]:
        """The host's ioctl numbers by name."""
        return HOST_CONSTANTS.ioctls(HOST_STRUCTS.model.long_size)

    @cached_property
    def socket_option_names(self) -> dict[int, str]:
        """The names of SOL_SOCKET's options, by the guest's numbers."""
        return {v: k for k, v in self.constants.socket_options.items()}

    @property
    def host_socket_options(self) -> Mapping[str, int]:
        """The host's numbers of SOL_SOCKET's options, by name."""
        return HOST_CONSTANTS.socket_options

    @cached_property
    def _errnos(self) -> dict[int, int]:
        host = {name: number for number, name in errno.errorcode.items()}
        return {
            host[name]: number for name, number in self.constants.errnos.items() if name in host
        }

    def errno_to_guest(self, code: int) -> int:
        """The guest's number of an error that the host numbers `code`."""
        return self._errnos.get(code, code)
