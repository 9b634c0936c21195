"""The LLVM backend: lowering, native runtime, compile worker, code arena, persistent cache."""
