"""ioctl(2): which requests are passed on, and what their argument is.

A request is known by name; its number is looked up in the tables of both ABIs.  `REQUESTS` says
what the argument is: `none`, `value` (a number as it is), or a structure that goes in, out or both.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

from user_mode.abi.x86_64.constants import CONSTANTS as HOST_CONSTANTS
from user_mode.errors import Errno
from user_mode.host import Buffer, blocking, call
from user_mode.host_numbers import Nr
from user_mode.syscalls.addresses import address_to_guest, address_to_host
from user_mode.syscalls.table import syscall
from user_mode.syscalls.types import Addr, Fd, Ioctl

if TYPE_CHECKING:
    from user_mode.abi.base import SyscallAbi
    from user_mode.process import Thread

REQUESTS = """\
# terminals
TCSBRK        value           TCXONC        value           TCFLSH        value
TCSBRKP       value           TIOCEXCL      none            TIOCNXCL      none
TIOCSCTTY     value           TIOCNOTTY     none            TIOCGPGRP     out int
TIOCSPGRP     in int          TIOCGSID      out int         TIOCOUTQ      out int
TIOCSTI       in u8           TIOCGWINSZ    out winsize     TIOCSWINSZ    in winsize
TIOCMGET      out int         TIOCMBIS      in int          TIOCMBIC      in int
TIOCMSET      in int          TIOCGSOFTCAR  out int         TIOCSSOFTCAR  in int
TIOCCONS      none            TIOCPKT       in int          TIOCSETD      in int
TIOCGETD      out int         TIOCSBRK      none            TIOCCBRK      none
TIOCGPTN      out int         TIOCSPTLCK    in int          TIOCGDEV      out int
TIOCSIG       value           TIOCVHANGUP   none            TIOCGPKT      out int
TIOCGPTLCK    out int         TIOCGEXCL     out int         TIOCGPTPEER   open
KDGKBTYPE     out u8          KDGKBMODE     out int         KDSKBMODE     value
KDGETMODE     out int         KDSETMODE     value           VT_OPENQRY    out int
VT_ACTIVATE   value           VT_WAITACTIVE value
# any descriptor
FIONREAD      out int         FIONBIO       in int          FIOASYNC      in int
FIONCLEX      none            FIOCLEX       none            FIOQSIZE      out s64
# files and file systems
FIGETBSZ      out int         FIBMAP        inout int       FICLONE       value
FICLONERANGE  in file_clone_range
FS_IOC_GETFLAGS out uint      FS_IOC_SETFLAGS in uint       FS_IOC_GETVERSION out uint
FS_IOC_FSGETXATTR out fsxattr FS_IOC_FSSETXATTR in fsxattr  FIFREEZE      value
FITHAW        value           RNDGETENTCNT  out int
# block devices
BLKROSET      in int          BLKROGET      out int         BLKRRPART     none
BLKGETSIZE    out ulong       BLKFLSBUF     none            BLKSSZGET     out int
BLKGETSIZE64  out u64
# network
SIOCATMARK    out int
SIOCGIFNAME   inout ifreq_int SIOCGIFINDEX  inout ifreq_int SIOCGIFFLAGS  inout ifreq_short
SIOCSIFFLAGS  inout ifreq_short SIOCGIFMETRIC inout ifreq_int SIOCGIFMTU  inout ifreq_int
SIOCGIFTXQLEN inout ifreq_int SIOCGIFADDR   inout ifreq_address SIOCSIFADDR inout ifreq_address
SIOCGIFDSTADDR inout ifreq_address SIOCGIFBRDADDR inout ifreq_address
SIOCGIFNETMASK inout ifreq_address SIOCGIFHWADDR inout ifreq_address
"""

_NUMBERS = {"u8": "B", "int": "I", "uint": "I", "s64": "Q", "u64": "Q"}
_IFREQ_FORMS = {"ifreq_int": "i", "ifreq_short": "h"}
_IFNAMSIZ = 16
_TERMIOS_GET, _TERMIOS_SET = "TCGETS", ("TCSETS", "TCSETSW", "TCSETSF")


@cache
def requests() -> dict[str, tuple[str, str]]:
    """Name to direction and type, read from `REQUESTS`."""
    words = [word for line in REQUESTS.splitlines() if line[:1] != "#" for word in line.split()]
    found = {}
    while words:
        name, direction = words.pop(0), words.pop(0)
        has_type = direction in ("in", "out", "inout")
        found[name] = (direction, words.pop(0) if has_type else "")
    return found


@syscall
def ioctl(thread: Thread, fd: Fd, request: Ioctl, argument: Addr) -> int:
    """ioctl(2).  Requests not in the tables answer ENOTTY."""
    abi = thread.process.abi
    name = abi.ioctl_names.get(request, "")
    if name == _TERMIOS_GET:
        return _get_termios(thread, fd, argument)
    if name in _TERMIOS_SET:
        return _set_termios(thread, fd, name, argument)
    if name not in requests() or name not in abi.host_ioctls:
        raise Errno(errno.ENOTTY)
    direction, type_ = requests()[name]
    number = abi.host_ioctls[name]
    if direction in ("none", "value"):
        return blocking(thread, Nr.ioctl, fd, number, argument)
    if direction == "open":
        return call(Nr.ioctl, fd, number, abi.open_flags.to_host(argument))
    return _with_argument(thread, fd, number, argument, direction, type_)


def _with_argument(
    thread: Thread, fd: int, number: int, address: int, direction: str, type_: str
) -> int:
    abi = thread.process.abi
    memory = thread.process.memory
    size, host_size = _size(abi, type_), _size(abi, type_, host=True)
    buffer = Buffer(host_size)
    if "in" in direction:
        buffer = Buffer(_to_host(abi, type_, memory.read(address, size)))
    result = call(Nr.ioctl, fd, number, buffer.address)
    if "out" in direction:
        memory.write(address, _to_guest(abi, type_, buffer.raw))
    return result


# -- the forms of arguments ------------------------------------------------------------------------


def _size(abi: SyscallAbi, type_: str, host: bool = False) -> int:
    structs = abi.host_structs if host else abi.structs
    if type_ in _NUMBERS:
        return struct.calcsize("=" + _NUMBERS[type_])
    if type_ == "ulong":
        return structs.model.long_size
    return structs["ifreq" if type_.startswith("ifreq") else type_].size


def _to_host(abi: SyscallAbi, type_: str, data: bytes) -> bytes:
    if type_ in _NUMBERS or type_ == "ulong":
        return _number(data, abi.byte_order, "<", 8 if type_ == "ulong" else len(data))
    if type_.startswith("ifreq"):
        inner = _ifreq_value(abi, type_, data[_IFNAMSIZ:], to_host=True)
        return (data[:_IFNAMSIZ] + inner).ljust(abi.host_structs.ifreq.size, b"\0")
    return abi.to_host(type_, data)


def _to_guest(abi: SyscallAbi, type_: str, data: bytes) -> bytes:
    if type_ in _NUMBERS or type_ == "ulong":
        return _number(data, "<", abi.byte_order, abi.long_size if type_ == "ulong" else len(data))
    if type_.startswith("ifreq"):
        size = abi.structs.ifreq.size
        inner = _ifreq_value(abi, type_, data[_IFNAMSIZ:size], to_host=False)
        return data[:_IFNAMSIZ] + inner
    return abi.to_guest(type_, data)


def _number(data: bytes, source: str, target: str, size: int) -> bytes:
    value = int.from_bytes(data, "little" if source == "<" else "big")
    return (value & (1 << 8 * size) - 1).to_bytes(size, "little" if target == "<" else "big")


def _ifreq_value(abi: SyscallAbi, type_: str, data: bytes, to_host: bool) -> bytes:
    if type_ == "ifreq_address":
        convert = address_to_host if to_host else address_to_guest
        return convert(abi, data[:16]) + data[16:]
    form = _IFREQ_FORMS[type_]
    orders = (abi.byte_order, "<") if to_host else ("<", abi.byte_order)
    size = struct.calcsize("=" + form)
    value = struct.unpack(orders[0] + form, data[:size])[0]
    return struct.pack(orders[1] + form, value) + data[size:]


# -- terminals -------------------------------------------------------------------------------------


def _get_termios(thread: Thread, fd: int, address: int) -> int:
    """TCGETS, by the host's TCGETS2, which also has the speeds."""
    abi = thread.process.abi
    buffer = Buffer(abi.host_structs.termios2.size)
    call(Nr.ioctl, fd, abi.host_ioctls["TCGETS2"], buffer.address)
    values = abi.host_structs.termios2.values(buffer.raw)
    for word, flags in abi.termios_flags.items():
        values[word] = flags.to_guest(values[word])
    values["c_cc"] = _move_characters(
        values["c_cc"], HOST_CONSTANTS.control_characters, abi.constants.control_characters
    )
    layout = abi.structs.termios
    known = {name: value for name, value in values.items() if name in layout.fields}
    thread.process.memory.write(address, layout.make(**known))
    return 0


def _set_termios(thread: Thread, fd: int, name: str, address: int) -> int:
    """TCSETS, TCSETSW, TCSETSF"""
    abi = thread.process.abi
    layout = abi.structs.termios
    values = layout.values(thread.process.memory.read(address, layout.size))
    for word, flags in abi.termios_flags.items():
        values[word] = flags.to_host(values[word])
    values["c_cc"] = _move_characters(
        values["c_cc"], abi.constants.control_characters, HOST_CONSTANTS.control_characters
    )
    # A speed in c_cflag that has a name decides; the kernel works c_ispeed and c_ospeed out of it.
    buffer = Buffer(abi.host_structs.termios2.make(**values))
    return blocking(thread, Nr.ioctl, fd, abi.host_ioctls[f"{name}2"], buffer.address)


def _move_characters(
    characters: bytes, source: Mapping[str, int], target: Mapping[str, int]
) -> bytes:
    """Control characters in the other ABI's order."""
    moved = bytearray(19)
    for name, place in target.items():
        moved[place] = characters[source[name]]
    return bytes(moved)
