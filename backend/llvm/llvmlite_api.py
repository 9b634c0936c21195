"""LLVM through llvmlite, with types: the only module that imports llvmlite.

It runs in the compile worker, never in the process that runs the guest: LLVM text in, one
relocatable x86-64 ELF object out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import llvmlite
import llvmlite.binding as llvm


class CompileError(Exception):
    """LLVM refused a module; the text is LLVM's own."""


@dataclass(frozen=True, slots=True)
class Options:
    """How one module is compiled."""

    level: int = 2
    """Optimization level of the pass pipeline; 0 runs no pass at all."""
    passes: tuple[str, ...] = ()
    """Run these passes in this order instead of a pipeline; names as llvmlite has them."""
    codegen: int = 2
    """Optimization level of instruction selection and register allocation."""
    unroll: bool = False
    vectorize: bool = False
    """Vectorize loops and straight-line code."""
    verify: bool = True
    """Check the module first: LLVM's passes end the process on one that is not well formed."""


@dataclass(frozen=True, slots=True)
class Listing:
    """What besides the object is asked for."""

    optimized: bool = False
    assembly: bool = False


USUAL = Options()
NO_LISTING = Listing()


@dataclass(frozen=True, slots=True)
class Compiled:
    """An object file, and the listings that were asked for (else empty)."""

    object: bytes
    optimized: str = ""
    assembly: str = ""


def version() -> str:
    """The versions of llvmlite and LLVM: compiled code is not to be mixed across them."""
    return f"llvmlite {llvmlite.__version__} LLVM {'.'.join(map(str, llvm.llvm_version_info))}"


class Compiler:
    """Compiles for the host CPU: position-independent, small code model, no unwind tables."""

    def __init__(self) -> None:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        llvm.initialize_native_asmparser()
        self.cpu: str = llvm.get_host_cpu_name()
        self.features: str = llvm.get_host_cpu_features().flatten()
        self._machines: dict[int, Any] = {}
        self._builders: dict[Options, Any] = {}

    def compile(
        self, text: str, options: Options = USUAL, listing: Listing = NO_LISTING
    ) -> Compiled:
        """Compile LLVM text; raises CompileError with LLVM's message.

        The module needs neither a triple nor a data layout; the host's are put in.
        """
        # A context of its own: types and constants interned for this module go away with it.
        context = llvm.create_context()
        try:
            return self._compile(llvm.parse_assembly(text, context), options, listing)
        except RuntimeError as error:
            raise CompileError(str(error).strip()) from None

    def _compile(self, module: Any, options: Options, listing: Listing) -> Compiled:
        machine = self._machine(options.codegen)
        module.triple = machine.triple
        module.data_layout = str(machine.target_data)
        if options.verify:
            module.verify()
        if options.passes or options.level:
            builder = self._builder(machine, options)
            _pass_manager(builder, options).run(module, builder)
        return Compiled(
            machine.emit_object(module),
            str(module) if listing.optimized else "",
            machine.emit_assembly(module) if listing.assembly else "",
        )

    def _machine(self, codegen: int) -> Any:
        found = self._machines.get(codegen)
        if found is None:
            found = self._machines[codegen] = (
                llvm.Target.from_default_triple().create_target_machine(
                    cpu=self.cpu,
                    features=self.features,
                    opt=codegen,
                    reloc="pic",
                    codemodel="small",
                )
            )
        return found

    def _builder(self, machine: Any, options: Options) -> Any:
        found = self._builders.get(options)
        if found is None:
            tuning = llvm.create_pipeline_tuning_options(speed_level=options.level)
            tuning.loop_vectorization = options.vectorize
            tuning.slp_vectorization = options.vectorize
            tuning.loop_interleaving = options.vectorize
            tuning.loop_unrolling = options.unroll
            found = self._builders[options] = llvm.create_pass_builder(machine, tuning)
        return found


def _pass_manager(builder: Any, options: Options) -> Any:
    if not options.passes:
        return builder.getModulePassManager()
    manager = llvm.create_new_module_pass_manager()
    for name in options.passes:
        getattr(manager, f"add_{name}_pass")()
    return manager
