"""Objects made into blobs: everything inside is resolved, everything outside is named."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import pytest

from backend.llvm.arena import HostArena, LinkError
from backend.llvm.blob import Blob, Kind, head_pcs, head_symbol
from backend.llvm.objects import ObjectError, blob_of
from tests.backend.conftest import Compile, no_symbol

Function = Callable[..., int]


def function(arena: HostArena, blob: Blob, resolve: Callable[[str], int] = no_symbol) -> Function:
    """Install a blob and give its function f(i64) -> i64."""
    code = arena.install(blob, resolve)
    made: Function = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(code.exports["f"])
    return made


JUMP_TABLE = """
define i64 @f(i64 %x) nounwind {
  switch i64 %x, label %other [
    i64 0, label %a  i64 1, label %b  i64 2, label %c  i64 3, label %d  i64 4, label %e
  ]
a:
  call void asm sideeffect "nop", ""()
  ret i64 7
b:
  call void asm sideeffect "nop; nop", ""()
  ret i64 300
c:
  call void asm sideeffect "nop; nop; nop", ""()
  ret i64 -4
d:
  call void asm sideeffect "nop; nop; nop; nop", ""()
  ret i64 11
e:
  call void asm sideeffect "nop; nop; nop; nop; nop", ""()
  ret i64 5
other:
  ret i64 0
}
"""


def test_a_jump_table_works_where_the_blob_lies(compile_text: Compile, arena: HostArena) -> None:
    blob = compile_text(JUMP_TABLE)
    assert b"\xff" in blob.code
    f = function(arena, blob)
    assert [f(x) for x in range(-1, 6)] == [0, 7, 300, -4, 11, 5, 0]


def test_constants_of_vectors_and_floats(compile_text: Compile, arena: HostArena) -> None:
    f = function(
        arena,
        compile_text("""
        define i64 @f(i64 %x) nounwind {
          %d = sitofp i64 %x to double
          %e = fmul double %d, 0x400921FB54442D18
          %v = insertelement <4 x i64> zeroinitializer, i64 %x, i32 1
          %w = add <4 x i64> %v, <i64 1, i64 20, i64 300, i64 4000>
          %s = call i64 @llvm.vector.reduce.add.v4i64(<4 x i64> %w)
          %r = fptosi double %e to i64
          %sum = add i64 %r, %s
          ret i64 %sum
        }
        declare i64 @llvm.vector.reduce.add.v4i64(<4 x i64>)
        """),
    )
    assert f(100) == 314 + 4321 + 100


def test_pointers_in_data_are_those_of_the_place(compile_text: Compile, arena: HostArena) -> None:
    text = """
    @table = hidden global [2 x ptr] [ptr @one, ptr @two]
    define internal i64 @one() nounwind { ret i64 1 }
    define internal i64 @two() nounwind { ret i64 2 }
    define i64 @f(i64 %x) nounwind {
      %p = getelementptr ptr, ptr @table, i64 %x
      %g = load ptr, ptr %p
      %r = call i64 %g()
      ret i64 %r
    }
    """
    blob = compile_text(text)
    first, second = function(arena, blob), function(arena, blob)
    assert [first(0), first(1), second(0), second(1)] == [1, 2, 1, 2]


def test_heads_and_handlers_stay_symbols(compile_text: Compile, arena: HostArena) -> None:
    blob = compile_text("""
    @H_10000100 = external dso_local global i8
    declare dso_local tailcc void @h_next(ptr, ptr, ptr)
    define tailcc void @f(ptr %env, ptr %rec, ptr %base) nounwind {
      musttail call tailcc void @h_next(ptr %env, ptr @H_10000100, ptr %base)
      ret void
    }
    """)
    assert blob.needs() == {"H_10000100", "h_next"}
    assert {kind for _, kind, _, _ in blob.relocations} == {Kind.REL32}
    assert head_pcs(blob.needs()) == [0x10000100]
    head, handler = arena.data.allocate(32), arena.code.allocate(16)
    code = arena.install(blob, {"H_10000100": head, "h_next": handler}.__getitem__)
    for offset, _, symbol, addend in blob.relocations:
        stored = int.from_bytes(arena.read(code.address + offset, 4), "little", signed=True)
        target = code.address + offset + stored - addend
        assert target == {"H_10000100": head, "h_next": handler}[symbol]


def test_far_libc_functions_are_reached_through_stubs(
    compile_text: Compile, arena: HostArena
) -> None:
    blob = compile_text("""
    declare double @fmod(double, double)
    define i64 @f(i64 %x) nounwind {
      %d = sitofp i64 %x to double
      %m = call double @fmod(double %d, double 10.0)
      %r = fptosi double %m to i64
      ret i64 %r
    }
    """)
    assert [(kind, symbol) for _, kind, symbol, _ in blob.relocations] == [(Kind.ABS64, "fmod")]
    address = ctypes.cast(ctypes.CDLL("libm.so.6").fmod, ctypes.c_void_p).value
    assert address is not None
    f = function(arena, blob, {"fmod": address}.__getitem__)
    assert f(1234) == 4


def test_a_preemptible_symbol_gets_a_slot(compile_text: Compile, arena: HostArena) -> None:
    blob = compile_text("""
    @far = external global i64
    define i64 @f(i64 %x) nounwind {
      %v = load i64, ptr @far
      %r = add i64 %v, %x
      ret i64 %r
    }
    """)
    word = ctypes.c_int64(40)
    assert function(arena, blob, {"far": ctypes.addressof(word)}.__getitem__)(2) == 42


def test_a_symbol_out_of_reach_is_refused(compile_text: Compile, arena: HostArena) -> None:
    blob = compile_text("""
    @near = external dso_local global i64
    define i64 @f(i64 %x) nounwind {
      %v = load i64, ptr @near
      ret i64 %v
    }
    """)
    used = arena.code.used
    with pytest.raises(LinkError, match="near at 0x1000 is out of reach of code at 0x"):
        arena.install(blob, lambda _: 0x1000)
    assert arena.code.used == used


def test_thread_local_data_is_refused(client: object, compile_text: Compile) -> None:
    with pytest.raises(Exception, match="thread-local data is not known here"):
        compile_text("""
        @t = thread_local global i64 3
        define ptr @f() nounwind { ret ptr @t }
        """)


@pytest.mark.parametrize(
    "data", [b"", b"\x7fELF\x01\x01" + bytes(60), b"MZ" + bytes(100)], ids=["empty", "elf32", "pe"]
)
def test_what_is_not_an_object_is_refused(data: bytes) -> None:
    with pytest.raises(ObjectError, match="not a little-endian ELF64 object"):
        blob_of(data)


def test_a_blob_survives_packing(compile_text: Compile) -> None:
    blob = compile_text(JUMP_TABLE)
    assert Blob.unpack(blob.pack()) == blob


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x93\x01\x80\x90", b"\x01"])
def test_what_is_not_a_blob_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a code blob"):
        Blob.unpack(data)


def test_head_symbols_name_the_pc() -> None:
    assert head_symbol(0x10000100) == "H_10000100"
    assert head_pcs(["h_add", "H_ff", "memcpy"]) == [0xFF]
