"""LLVM text to code blob: what every service of the compile worker ends with."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from functools import cache
from typing import Any

from backend.llvm.blob import Blob
from backend.llvm.llvmlite_api import (
    NO_LISTING,
    USUAL,
    CompileError,
    Compiler,
    Listing,
    Options,
    version,
)
from backend.llvm.objects import ObjectError, blob_of


class InternalError(Exception):
    """The translator made something that cannot be compiled; the text names the saved evidence."""


@dataclass(frozen=True, slots=True)
class Compilation:
    """A blob, and the listings that were asked for."""

    blob: Blob
    optimized: str
    assembly: str


@cache
def host_compiler() -> Compiler:
    """The compiler of this process, set up when first needed."""
    return Compiler()


def compile_module(
    text: str, options: Options = USUAL, listing: Listing = NO_LISTING
) -> Compilation:
    """Compile LLVM text; raises InternalError, with the text saved to a file it names."""
    try:
        made = host_compiler().compile(text, options, listing)
        return Compilation(blob_of(made.object), made.optimized, made.assembly)
    except (CompileError, ObjectError) as error:
        raise InternalError(f"{error}\nthe module is in {save_evidence(text, '.ll')}") from None


def save_evidence(text: str, suffix: str) -> str:
    """Write text to a new file for a bug report; returns its name."""
    with tempfile.NamedTemporaryFile("w", prefix="qemupy-", suffix=suffix, delete=False) as file:
        file.write(text)
    return file.name


def serve_compile(request: dict[str, Any]) -> dict[str, Any]:
    """The service `compile`.

    Request: text; options (Options' fields) and listing (Listing's) where they differ from the
    defaults.  Result: blob (packed), optimized, assembly.
    """
    options = Options(**request.get("options", {}))
    made = compile_module(request["text"], options, Listing(**request.get("listing", {})))
    return {
        "blob": made.blob.pack(),
        "optimized": made.optimized,
        "assembly": made.assembly,
    }


def serve_version(_request: object) -> dict[str, str | int]:
    """The service `version`: what compiles here (llvm, cpu), and in which process (pid)."""
    return {"llvm": version(), "cpu": host_compiler().cpu, "pid": os.getpid()}
