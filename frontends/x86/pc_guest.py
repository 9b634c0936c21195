"""What an engine for whole machines needs of x86: tcg.system.Guest for one processor model."""

from __future__ import annotations

from functools import cached_property

from frontends.x86.cpuid import MODELS
from frontends.x86.models import system_frontend
from frontends.x86.paging import build_walk
from frontends.x86.system_frontend import SystemFrontend
from frontends.x86.system_state import SystemState
from tcg.ir import Function


class PcGuest:
    """Implements tcg.system.Guest.  `width`: of the processor's registers, 32 or 64."""

    def __init__(self, model: str) -> None:
        """`model`: a name of frontends.x86.cpuid.MODELS; KeyError if there is no such one."""
        self.model = MODELS[model]
        self.width = 64 if "lm" in self.model.system_features else 32
        self.state = SystemState(self.width)
        self.layout = self.state.layout
        self._frontends: dict[int, SystemFrontend] = {}
        self._deliveries: dict[int, Function] = {}

    @cached_property
    def walk(self) -> Function:
        """The page walk."""
        return build_walk(self.state)

    def frontend(self, mode: int) -> SystemFrontend:
        """The frontend for code in this mode; always the same object."""
        found = self._frontends.get(mode)
        if found is None:
            made = system_frontend(self.model.name, self.width, mode, self.state)
            found = self._frontends[mode] = made
        return found

    def delivery(self, mode: int) -> Function:
        """What takes the interrupt that the state describes, in this mode."""
        found = self._deliveries.get(mode)
        if found is None:
            found = self._deliveries[mode] = self._new_delivery(mode)
        return found

    def _new_delivery(self, mode: int) -> Function:
        from frontends.x86.privileged.delivery import lift_delivery

        function = Function("handler", f"deliver_{self.width}_{mode:03x}")
        lift_delivery(self.frontend(mode).new_builder(function))
        return function
