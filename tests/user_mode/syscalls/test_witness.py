"""The tables of an ABI against its C compiler's headers: sizes, offsets, constants and numbers.

The compiler writes the values into an object file as data; nothing is run.
"""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from user_mode.abi.layout import Structs
from user_mode.abi.linux import Constants
from user_mode.abi.ppc.constants import CONSTANTS as PPC_CONSTANTS
from user_mode.abi.ppc.numbers import NUMBERS as PPC_NUMBERS
from user_mode.abi.ppc.structs import STRUCTS as PPC_STRUCTS
from user_mode.abi.x86_64.constants import CONSTANTS as HOST_CONSTANTS
from user_mode.abi.x86_64.structs import STRUCTS as HOST_STRUCTS
from user_mode.host_numbers import Nr


@dataclass
class Machine:
    """One ABI of ours and the compiler that knows better."""

    compiler: str
    structs: Structs
    constants: Constants
    numbers: dict[int, str]
    flags: list[str] = field(default_factory=list)


MACHINES = {
    "ppc": Machine("powerpc-linux-gnu-gcc", PPC_STRUCTS, PPC_CONSTANTS, PPC_NUMBERS),
    "x86_64": Machine(
        "gcc",
        HOST_STRUCTS,
        HOST_CONSTANTS,
        {number: name for name, number in vars(Nr).items() if not name.startswith("__")},
    ),
}

KERNEL_HEADERS = [
    "linux/time.h",
    "linux/time_types.h",
    "linux/times.h",
    "linux/utime.h",
    "linux/timex.h",
    "linux/resource.h",
    "linux/utsname.h",
    "linux/sysinfo.h",
    "linux/sched/types.h",
    "linux/capability.h",
    "linux/stat.h",
    "asm/statfs.h",
    "asm/stat.h",
    "linux/fcntl.h",
    "linux/uio.h",
    "linux/openat2.h",
    "linux/inotify.h",
    "linux/fs.h",
    "linux/mqueue.h",
    "asm/poll.h",
    "linux/eventpoll.h",
    "linux/signalfd.h",
    "linux/signal.h",
    "linux/in.h",
    "linux/in6.h",
    "linux/ipv6.h",
    "linux/netlink.h",
    "linux/if_packet.h",
    "asm/termbits.h",
    "asm/ioctls.h",
    "linux/ipc.h",
    "linux/sem.h",
    "linux/msg.h",
    "linux/shm.h",
    "asm/ipcbuf.h",
    "asm/shmbuf.h",
    "asm/sembuf.h",
    "asm/msgbuf.h",
    "asm/mman.h",
    "linux/mman.h",
    "asm/socket.h",
    "asm/errno.h",
    "linux/kd.h",
    "linux/vt.h",
    "linux/sockios.h",
    "linux/random.h",
    "asm/unistd.h",
    "linux/termios.h",
]
LIBC_HEADERS = [
    "sys/socket.h",
    "netinet/in.h",
    "netinet/tcp.h",
    "net/if.h",
    "fcntl.h",
    "dirent.h",
    "poll.h",
]

# Our name of a structure, where it is not the header's `struct name`.
KERNEL_NAMES = {
    "timespec64": "struct __kernel_timespec",
    "timeval64": "struct __kernel_sock_timeval",
    "itimerspec64": "struct __kernel_itimerspec",
    "timex64": "struct __kernel_timex",
    "utsname": "struct new_utsname",
    "cap_header": "struct __user_cap_header_struct",
    "cap_data": "struct __user_cap_data_struct",
    "fsid": "__kernel_fsid_t",
    "oldstat": "struct __old_kernel_stat",
    "shm_info": "struct shm_info",
    "sigevent": "sigevent_t",
    "altstack": "stack_t",
}
LIBC_STRUCTS = {
    "msghdr": "struct msghdr",
    "mmsghdr": "struct mmsghdr",
    "cmsghdr": "struct cmsghdr",
    "linger": "struct linger",
    "ucred": "struct ucred",
    "in_pktinfo": "struct in_pktinfo",
    "in6_pktinfo": "struct in6_pktinfo",
    "ip_mreqn": "struct ip_mreqn",
    "ipv6_mreq": "struct ipv6_mreq",
    "ifconf": "struct ifconf",
    "file_handle": "struct file_handle",
    "linux_dirent64": "struct dirent64",
}
# No header of either kind has these: arguments inside the kernel, or ours for a part of a union.
NOT_IN_HEADERS = {
    "sigset_argument", "linux_dirent", "ifreq", "ifreq_int", "tcp_info", "statx_timestamp",
    "sched_attr", "termios2",
}  # fmt: skip
SKIPPED_FIELDS = re.compile(
    r"(.*\.)?(_?_?(pad|unused|spare|reserved|nl_pad|_f|fsx_pad)\d*(\.\d+)?)"
)
FIELD_NAMES = {
    "sigev_tid": "_sigev_un._tid",
    "ifc_buf": "ifc_ifcu.ifcu_buf",
}
LOWER_HALVES = {4: {"timespec64", "itimerspec64"}, 8: set[str]()}
"""Where tv_nsec is 64 bits wide in the header, and 32-bit kernels take the lower half."""
SIZE_ONLY = {"statx", "inotify_event", "file_handle"}


def skip_without(compiler: str) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed (Debian: gcc-powerpc-linux-gnu, gcc)")


def evaluate(
    machine: Machine, headers: list[str], expressions: list[str], tmp_path: Path, prefix: str = ""
) -> dict[str, int | None]:
    """What the compiler makes of constant expressions; None for macros that are not defined."""
    lines = ["#define _GNU_SOURCE", "#include <stddef.h>", prefix]
    lines += [f"#include <{header}>" for header in headers]
    lines.append("const unsigned long long witness[] = {")
    for expression in expressions:
        if re.fullmatch(r"[A-Za-z_]\w*", expression):
            lines.append(f"#ifdef {expression}\n0, {expression},\n#else\n1, 0,\n#endif")
        else:
            lines.append(f"0, {expression},")
    lines.append("};")
    source = tmp_path / "witness.c"
    source.write_text("\n".join(lines))
    target = tmp_path / "witness.o"
    command = [machine.compiler, *machine.flags, "-c", str(source), "-o", str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with target.open("rb") as file:
        elf = ELFFile(file)
        symbol = elf.get_section_by_name(".symtab").get_symbol_by_name("witness")[0]
        data = elf.get_section(symbol["st_shndx"]).data()
        start = symbol["st_value"]
        order = "<" if elf.little_endian else ">"
    count = len(expressions) * 2
    values = struct.unpack_from(f"{order}{count}Q", data, start)
    pairs = zip(values[::2], values[1::2], strict=True)
    return {
        expression: None if absent else value
        for expression, (absent, value) in zip(expressions, pairs, strict=True)
    }


def layout_expressions(machine: Machine, name: str, ctype: str) -> dict[str, int]:
    """The C expressions about one structure, and what our layout says of each."""
    layout = machine.structs[name]
    facts = {f"sizeof({ctype})": layout.size}
    if name in SIZE_ONLY:
        return facts
    for one in layout:
        if SKIPPED_FIELDS.fullmatch(one.name):
            continue
        if one.name.endswith("tv_nsec") and name in LOWER_HALVES[machine.structs.model.long_size]:
            facts[f"offsetof({ctype}, {one.name}) + 4"] = one.offset
            continue
        path = re.sub(r"\.(\d+)", r"[\1]", FIELD_NAMES.get(one.name, one.name))
        facts[f"offsetof({ctype}, {path})"] = one.offset
        facts[f"sizeof((({ctype} *)0)->{path})"] = one.size
    return facts


def compare(facts: dict[str, int], witness: dict[str, int | None]) -> None:
    wrong = {}
    for expression, ours in facts.items():
        theirs = witness[expression]
        if theirs is not None and theirs & 0xFFFFFFFF != ours:
            wrong[expression] = f"ours {ours:#x}, the compiler's {theirs:#x}"
    assert not wrong


@pytest.mark.parametrize("name", MACHINES)
def test_kernel_structures(name: str, tmp_path: Path) -> None:
    machine = MACHINES[name]
    skip_without(machine.compiler)
    facts: dict[str, int] = {}
    for struct_name in machine.structs:
        if struct_name not in LIBC_STRUCTS and struct_name not in NOT_IN_HEADERS:
            ctype = KERNEL_NAMES.get(struct_name, f"struct {struct_name}")
            facts |= layout_expressions(machine, struct_name, ctype)
    assert len(facts) > 500
    compare(facts, evaluate(machine, KERNEL_HEADERS, list(facts), tmp_path))


@pytest.mark.parametrize("name", MACHINES)
def test_libc_structures(name: str, tmp_path: Path) -> None:
    machine = MACHINES[name]
    skip_without(machine.compiler)
    facts: dict[str, int] = {}
    for struct_name, ctype in LIBC_STRUCTS.items():
        facts |= layout_expressions(machine, struct_name, ctype)
    del facts["sizeof(struct dirent64)"]
    compare(facts, evaluate(machine, LIBC_HEADERS, list(facts), tmp_path))


@pytest.mark.parametrize("name", MACHINES)
def test_constants(name: str, tmp_path: Path) -> None:
    machine = MACHINES[name]
    skip_without(machine.compiler)
    ours = machine.constants
    facts: dict[str, int] = {}
    for table in (
        ours.open_flags, ours.map_flags, ours.mlockall_flags, ours.socket_options, ours.errnos,
        ours.control_characters, *ours.termios_flags.values(),
        ours.ioctls(machine.structs.model.long_size),
    ):  # fmt: skip
        facts |= table
    for new in ("BSDLY", "VTDLY", "FFDLY"):
        assert new in facts
    loff = "typedef long long loff_t;"
    witness = evaluate(machine, KERNEL_HEADERS, list(facts), tmp_path, loff)
    missing = {one for one, value in witness.items() if value is None}
    assert missing <= {"FASYNC", "CMSPAR"}
    compare(facts, witness)


@pytest.mark.parametrize("name", MACHINES)
def test_numbers(name: str, tmp_path: Path) -> None:
    machine = MACHINES[name]
    skip_without(machine.compiler)
    facts = {f"__NR_{call}": number for number, call in machine.numbers.items()}
    witness = evaluate(machine, ["asm/unistd.h"], list(facts), tmp_path)
    unknown = {one for one, value in witness.items() if value is None}
    assert all(facts[one] > 440 for one in unknown), "only the newest may be unknown to the headers"
    compare(facts, witness)
