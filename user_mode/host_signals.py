"""The host's side of signals: dispositions and masks by the kernel's own calls.

The C library's wrappers would not do: they keep signals 32 and 33 for themselves, which are the
guest C library's here, and Python's `signal` wants its own handler everywhere.
"""

from __future__ import annotations

import ctypes
import os
import struct

from user_mode import host
from user_mode.host_numbers import Nr
from user_mode.siginfo import HOST, SigInfo, pack
from user_mode.signals import ALL, OWN, SA_SIGINFO, SIG_DFL, SIG_IGN, SIG_SETMASK

SA_RESTORER = 0x0400_0000
SIGSET_BYTES = 8

_ACTION = struct.Struct("<QQQQ")
"""struct kernel_sigaction: handler, flags, restorer, mask."""


class HostSignals:
    """What the host's kernel does with our signals; `on_signal` is the native runtime's handler."""

    def __init__(self, on_signal: int) -> None:
        self._on_signal = on_signal
        self._restorer = self._find_restorer()

    def _find_restorer(self) -> int:
        """The C library's code for rt_sigreturn, as it installs it with every handler."""
        saved = self._exchange(SPARE_SIGNAL, None)
        ctypes.PyDLL(None).signal(SPARE_SIGNAL, ctypes.c_void_p(self._on_signal))
        restorer: int = _ACTION.unpack(self._exchange(SPARE_SIGNAL, saved))[2]
        return restorer

    def _exchange(self, signo: int, action: bytes | None) -> bytes:
        """rt_sigaction(2)"""
        old = host.Buffer(_ACTION.size)
        host.call(Nr.rt_sigaction, signo, action, old.address, SIGSET_BYTES)
        return old.raw

    def is_ignored(self, signo: int) -> bool:
        """Whether we were started with this signal ignored, or have it so."""
        handler: int = _ACTION.unpack(self._exchange(signo, None))[0]
        return handler == SIG_IGN

    def catch(self, signo: int, flags: int = 0) -> None:
        """Have the native handler note this signal; it runs with all others blocked."""
        flags |= SA_SIGINFO | SA_RESTORER
        self._exchange(signo, _ACTION.pack(self._on_signal, flags, self._restorer, ALL & ~OWN))

    def ignore(self, signo: int) -> None:
        """SIG_IGN"""
        self._exchange(signo, _ACTION.pack(SIG_IGN, 0, 0, 0))

    def default(self, signo: int, flags: int = 0) -> None:
        """SIG_DFL"""
        self._exchange(signo, _ACTION.pack(SIG_DFL, flags, 0, 0))

    def mask(self, mask: int) -> int:
        """Block just `mask` (and never our own signals) in this thread; gives the mask before."""
        return self._exchange_mask((mask & ~OWN).to_bytes(8, "little"))

    def current_mask(self) -> int:
        """What this thread blocks."""
        return self._exchange_mask(None)

    def _exchange_mask(self, mask: bytes | None) -> int:
        old = host.Buffer(SIGSET_BYTES)
        host.call(Nr.rt_sigprocmask, SIG_SETMASK, mask, old.address, SIGSET_BYTES)
        return int.from_bytes(old.raw, "little")

    def pending(self) -> int:
        """The blocked signals that wait for this thread or for the process."""
        mask = host.Buffer(SIGSET_BYTES)
        host.call(Nr.rt_sigpending, mask.address, SIGSET_BYTES)
        return int.from_bytes(mask.raw, "little")

    def send_back(self, info: SigInfo) -> None:
        """Give this thread a signal again, with all that came with it: it waits while blocked."""
        thread = host.call(Nr.gettid)
        host.call(Nr.rt_tgsigqueueinfo, os.getpid(), thread, info.signo, pack(info, HOST))

    def die_of(self, signo: int) -> None:
        """End this process by the signal's default action, without a core file of the emulator."""
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
        self.default(signo)
        os.kill(os.getpid(), signo)
        self.mask(0)


SPARE_SIGNAL = 12
"""SIGUSR2, borrowed for a moment to learn the C library's restorer."""
