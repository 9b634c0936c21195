"""siginfo_t between machines, against what the host's own kernel fills in."""

from __future__ import annotations

import os
import signal

import pytest

from user_mode import host
from user_mode.abi.layout import DataModel
from user_mode.abi.ppc.structs import STRUCTS
from user_mode.host_signals import HostSignals
from user_mode.siginfo import HOST, SI_QUEUE, SI_TIMER, SigInfo, pack, unpack

MODELS = [HOST, STRUCTS.model, DataModel("<", 4), DataModel(">", 8)]

EXAMPLES = [
    SigInfo(10, pid=5, uid=6),
    SigInfo(40, SI_QUEUE, pid=5, uid=6, value=0x7FFF_FFFF),
    SigInfo(14, SI_TIMER, timer_id=3, overrun=9, value=1),
    SigInfo(17, 1, pid=-1, uid=2, status=-3, utime=4, stime=5),
    SigInfo(11, 2, address=0xFFFF_0000),
    SigInfo(29, 1, band=65, fd=-1),
    SigInfo(31, 1, address=8, number=-9, arch=0x14),
]


@pytest.mark.parametrize("model", MODELS, ids=str)
@pytest.mark.parametrize("info", EXAMPLES, ids=lambda info: info.kind)
def test_what_is_packed_can_be_unpacked(info: SigInfo, model: DataModel) -> None:
    raw = pack(info, model)
    assert len(raw) == 128
    assert unpack(raw, model) == info


def test_the_kernel_understands_and_fills_it() -> None:
    signals = HostSignals(0)
    before = signals.mask(1 << 39)
    try:
        signals.send_back(SigInfo(40, SI_QUEUE, pid=123, uid=45, value=678))
        assert signals.pending() == 1 << 39
        found = host.Buffer(128)
        mask = (1 << 39).to_bytes(8, "little")
        assert host.call(host.Nr.rt_sigtimedwait, mask, found.address, None, 8) == 40
        assert unpack(found.raw, HOST) == SigInfo(40, SI_QUEUE, pid=123, uid=45, value=678)
    finally:
        signals.mask(before)


def test_a_childs_end_as_the_kernel_tells_it() -> None:
    child = os.fork()
    if child == 0:
        os._exit(7)
    found = host.Buffer(128)
    host.call(host.Nr.waitid, os.P_PID, child, found.address, os.WEXITED, None)
    info = unpack(found.raw, HOST)
    assert (info.signo, info.code, info.pid, info.status) == (signal.SIGCHLD, 1, child, 7)
    guest = pack(info, STRUCTS.model)
    assert int.from_bytes(guest[12:16], "big") == child
    assert int.from_bytes(guest[20:24], "big") == 7
