"""The PC's board: every device of the chipset where software expects it, without a processor.

Addresses, interrupt numbers and PCI slots are those of QEMU's `pc` machine, so that firmware made
for it runs. Disks, display and network are added by whoever builds the machine, through `ports`,
`memory`, `pci` and `isa_irq`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from machine.bus import Bus, Memory, Unimplemented, ignore
from machine.clock import Clock
from machine.devices.apic import ApicBus, IoApic, LocalApic
from machine.devices.debug_ports import DebugConsole, DebugExit, PostCode
from machine.devices.dma import Dma
from machine.devices.fw_cfg import FwCfg
from machine.devices.hpet import Hpet
from machine.devices.i440fx import HostBridge, Shadow
from machine.devices.i8042 import I8042, Port92
from machine.devices.pci import ConfigPorts, PciBus
from machine.devices.pic import CASCADE, PicPair
from machine.devices.piix import IsaBridge, PowerManagement
from machine.devices.pit import Pit, SystemControlB
from machine.devices.ps2 import Keyboard, Mouse
from machine.devices.rtc import Rtc
from machine.devices.uart import Uart
from machine.line import Line, SharedLine

IO_APIC_BASE, HPET_BASE, LOCAL_APIC_BASE = 0xFEC0_0000, 0xFED0_0000, 0xFEE0_0000

COM_PORTS = ((0x3F8, 4), (0x2F8, 3), (0x3E8, 4), (0x2E8, 3))
"""Base port and interrupt request of COM1 to COM4."""


def nothing(*_: object) -> None:
    """Nobody is there."""


@dataclass(slots=True)
class Outside:
    """What the board is connected to: the processor, the host, and what is heard of the guest.

    `special` gets the APIC's SMI, NMI, INIT and STARTUP; `reset` is asked for by the guest, with
    True for the whole machine and False for the processor alone.
    """

    start: datetime
    special: Callable[[int, int], None] = nothing
    reset: Callable[[bool], None] = nothing
    power_off: Callable[[], None] = nothing
    smi: Callable[[int], None] = nothing
    shadow: Callable[[Shadow], None] = nothing
    smram: Callable[[bool], None] = nothing
    debug_exit: Callable[[int], None] = nothing
    debug_console: Callable[[int], None] = nothing
    post_code: Callable[[int], None] = nothing
    serial: tuple[Callable[[int], None], ...] = (nothing,)
    """Sinks of as many serial ports as there are to be, at most four."""
    has_smm: bool = True
    """Whether the processor has system management mode for firmware to use."""
    unimplemented: Unimplemented = ignore


@dataclass(slots=True)
class IsaIrqs:
    """The ISA interrupt requests, each shared by its sources, at the 8259s and the I/O APIC.

    Input 2 of the I/O APIC is IRQ0, since IRQ2 is the slave's.
    """

    pics: PicPair
    io_apic: IoApic
    counts: list[int] = field(default_factory=lambda: [0] * 16)
    """How often each was asked for."""
    _shared: list[SharedLine] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._shared = [SharedLine(Line(self._forward(irq))) for irq in range(16)]

    def source(self, irq: int) -> Line:
        return self._shared[irq].source()

    def _forward(self, irq: int) -> Callable[[bool], None]:
        targets = [self.io_apic.line(irq or 2)]
        if irq != CASCADE:
            targets.append(self.pics.line(irq))

        counts = self.counts

        def forward(level: bool) -> None:
            counts[irq] += level
            for target in targets:
                target.set(level)

        return forward


class Resettable(Protocol):
    def reset(self) -> None: ...


@dataclass(slots=True, kw_only=True)
class Board:
    """All parts of a board, wired. `intr` and `a20` are for the processor to look at.

    The processor answers `intr` by `local_apic.acknowledge`, which gives it the vector.
    """

    clock: Clock
    ports: Bus
    memory: Bus
    intr: Line
    a20: Line
    nmi: Line
    irqs: IsaIrqs
    pics: PicPair
    pit: Pit
    control_b: SystemControlB
    rtc: Rtc
    keyboard: Keyboard
    mouse: Mouse
    i8042: I8042
    port92: Port92
    uarts: list[Uart]
    dma: Dma
    fw_cfg: FwCfg
    pci: PciBus
    config_ports: ConfigPorts
    host_bridge: HostBridge
    isa_bridge: IsaBridge
    power: PowerManagement
    apic_bus: ApicBus
    local_apic: LocalApic
    io_apic: IoApic
    hpet: Hpet

    def isa_irq(self, number: int) -> Line:
        """Another source of an interrupt request."""
        return self.irqs.source(number)

    def reset(self) -> None:
        """What a hard reset does to the board: A20 is on, as firmware for QEMU expects."""
        devices: list[Resettable] = [
            *self.uarts,
            self.pics,
            self.pit,
            self.control_b,
            self.rtc,
            self.keyboard,
            self.mouse,
            self.i8042,
            self.port92,
            self.dma,
            self.fw_cfg,
            self.pci,
            self.config_ports,
            self.io_apic,
            self.local_apic,
            self.hpet,
        ]
        for device in devices:
            device.reset()
        self.a20.set(True)


def build_board(clock: Clock, ram: Memory, outside: Outside) -> Board:
    """An i440FX PC: first interrupts and time, then ISA, then PCI, then what is in memory."""
    unimplemented = outside.unimplemented
    ports, memory = Bus("ports", unimplemented), Bus("memory", unimplemented)
    intr, nmi, a20 = Line(), Line(), Line(level=True)

    apic_bus = ApicBus()
    io_apic = IoApic(apic_bus)
    pic_intr = Line()
    pics = PicPair(pic_intr, unimplemented)
    local_apic = LocalApic(
        clock, apic_bus, 0, intr, pics.acknowledge, outside.special, unimplemented
    )
    pic_intr.changed = local_apic.lint0.set
    nmi.changed = local_apic.lint1.set
    irqs = IsaIrqs(pics, io_apic)
    ports.attach(0x20, pics.master)
    ports.attach(0xA0, pics.slave)
    ports.attach(0x4D0, pics.elcr)

    pit_irq, rtc_irq = Gate(irqs.source(0)), Gate(irqs.source(8))
    pit = Pit(clock, pit_irq.line)
    control_b = SystemControlB(clock, pit.counters[2])
    rtc = Rtc(clock, outside.start, rtc_irq.line)
    ports.attach(0x40, pit)
    ports.attach(0x61, control_b)
    ports.attach(0x70, rtc)

    def reset_processor() -> None:
        outside.reset(False)

    keyboard, mouse = Keyboard(clock), Mouse()
    i8042 = I8042(
        clock,
        keyboard,
        mouse,
        keyboard_irq=irqs.source(1),
        mouse_irq=irqs.source(12),
        a20=a20,
        reset=reset_processor,
        unimplemented=unimplemented,
    )
    port92 = Port92(a20, reset_processor)
    ports.attach(0x60, i8042.data)
    ports.attach(0x64, i8042.status)
    ports.attach(0x92, port92)

    uarts = []
    for (base, irq), sink in zip(COM_PORTS, outside.serial, strict=False):
        uart = Uart(clock, irqs.source(irq), sink)
        ports.attach(base, uart)
        uarts.append(uart)

    dma = Dma(ram, unimplemented)
    ports.attach(0x00, dma.low)
    ports.attach(0x81, dma.pages)
    ports.attach(0xC0, dma.high)

    fw_cfg = FwCfg(ram)
    ports.attach(0x510, fw_cfg.ports)
    ports.attach(0x514, fw_cfg.dma)
    ports.attach(0x80, PostCode(outside.post_code))
    ports.attach(0xE9, DebugConsole(outside.debug_console))
    ports.attach(0x501, DebugExit(outside.debug_exit))

    pci = PciBus(ports, memory)
    config_ports = ConfigPorts(pci, outside.reset)
    host_bridge = HostBridge(outside.shadow, outside.smram)
    isa_bridge = IsaBridge([None if irq == CASCADE else irqs.source(irq) for irq in range(16)])
    power = PowerManagement(
        clock,
        ports,
        irqs.source(9),
        outside.power_off,
        outside.smi,
        unimplemented,
        has_smm=outside.has_smm,
    )
    pci.pirqs = isa_bridge.pirq
    pci.add(0, 0, host_bridge)
    pci.add(1, 0, isa_bridge)
    pci.add(1, 3, power)
    ports.attach(0xCF8, config_ports.ports)
    ports.attach(0xB2, power.apm)
    ports.attach(0xAFE0, power.gpe)

    def route_legacy(hpet_has_it: bool) -> None:
        pit_irq.open(not hpet_has_it)
        rtc_irq.open(not hpet_has_it)

    hpet = Hpet(clock, hpet_inputs(irqs, io_apic), route_legacy)
    memory.attach(IO_APIC_BASE, io_apic)
    memory.attach(HPET_BASE, hpet)
    memory.attach(LOCAL_APIC_BASE, local_apic)

    return Board(
        clock=clock,
        ports=ports,
        memory=memory,
        intr=intr,
        a20=a20,
        nmi=nmi,
        irqs=irqs,
        pics=pics,
        pit=pit,
        control_b=control_b,
        rtc=rtc,
        keyboard=keyboard,
        mouse=mouse,
        i8042=i8042,
        port92=port92,
        uarts=uarts,
        dma=dma,
        fw_cfg=fw_cfg,
        pci=pci,
        config_ports=config_ports,
        host_bridge=host_bridge,
        isa_bridge=isa_bridge,
        power=power,
        apic_bus=apic_bus,
        local_apic=local_apic,
        io_apic=io_apic,
        hpet=hpet,
    )


class Gate:
    """A wire that can be cut: `line` goes on to `out` while it is open."""

    def __init__(self, out: Line) -> None:
        self._out = out
        self._is_open = True
        self.line = Line(self._changed)

    def open(self, is_open: bool) -> None:
        self._is_open = is_open
        self._out.set(self.line.level and is_open)

    def _changed(self, level: bool) -> None:
        self._out.set(level and self._is_open)


def hpet_inputs(irqs: IsaIrqs, io_apic: IoApic) -> list[Line | None]:
    """The HPET's timers reach inputs 16 to 23, and with legacy routing IRQ0 and IRQ8."""
    inputs: list[Line | None] = [None] * 16
    inputs[2], inputs[8] = irqs.source(0), irqs.source(8)
    return [*inputs, *(io_apic.line(number) for number in range(16, IoApic.INPUTS))]
