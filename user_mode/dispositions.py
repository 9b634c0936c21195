"""What a process does with each signal, and the host's kernel told so."""

from __future__ import annotations

import signal

from user_mode.host_signals import HostSignals
from user_mode.signals import (
    CORE,
    COUNT,
    IGNORED,
    OWN,
    SA_NOCLDSTOP,
    SA_NOCLDWAIT,
    SIG_DFL,
    SIG_IGN,
    STOPPING,
    UNBLOCKABLE,
    SigAction,
    bit,
)

PYTHON_IGNORES = (signal.SIGPIPE, signal.SIGXFSZ)
"""Python ignores these as it starts.  That a parent did so before cannot be told from it."""

FAULTS = (signal.SIGSEGV, signal.SIGBUS)
SETTABLE = tuple(signo for signo in range(1, COUNT + 1) if not bit(signo) & UNBLOCKABLE)


class SignalState:
    """What a process does with each signal, and the host told so."""

    def __init__(self, host: HostSignals) -> None:
        self.host = host
        self._actions = [SigAction()] * (COUNT + 1)
        for signo in SETTABLE:
            self._take_over(signo)

    def _take_over(self, signo: int) -> None:
        """Keep what our parent ignored, drop what Python installed."""
        ignored = signo not in PYTHON_IGNORES and self.host.is_ignored(signo)
        self[signo] = SigAction(SIG_IGN if ignored else SIG_DFL)

    def __getitem__(self, signo: int) -> SigAction:
        return self._actions[signo]

    def __setitem__(self, signo: int, action: SigAction) -> None:
        self._actions[signo] = action
        if bit(signo) & OWN:
            return
        flags = action.flags & (SA_NOCLDSTOP | SA_NOCLDWAIT)
        if action.handler == SIG_IGN:
            self.host.ignore(signo)
        elif action.handler != SIG_DFL or bit(signo) & CORE:
            self.host.catch(signo, flags)
        else:
            self.host.default(signo, flags)

    def reset(self) -> None:
        """What execve(2) does: caught signals get their default action, ignored ones stay so."""
        for signo in SETTABLE:
            if self[signo].handler != SIG_IGN and self[signo] != SigAction():
                self[signo] = SigAction()

    @property
    def catches_faults(self) -> bool:
        """Whether handlers see the registers at memory faults."""
        return any(self[signo].handler not in (SIG_DFL, SIG_IGN) for signo in FAULTS)

    def is_fatal(self, signo: int) -> bool:
        """Whether the signal, delivered now, ends the process."""
        return self[signo].handler == SIG_DFL and not bit(signo) & (STOPPING | IGNORED)

    def is_ignored(self, signo: int) -> bool:
        """Whether the signal, delivered now, is dropped."""
        handler = self[signo].handler
        return handler == SIG_IGN or (handler == SIG_DFL and bool(bit(signo) & IGNORED))
