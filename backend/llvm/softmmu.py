"""Lowering for a whole machine: every access looks its page up in the TLB that %base points to.

A hit is a load, a compare and the access; a miss, a device or a page with translated code is a call
of softmmu.ll.  Only where such a call fails is the guest's state stored back, so that it is exact
at every access without costing anything on the way.

Code is left for other blocks by keys: a pc and header.code_space.  A link is set only within a
page, as other pages may be mapped anew; where a region goes on in another page it looks whether
that is still where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from backend.llvm.blob import head_symbol
from backend.llvm.handlers import HandlerLowering
from backend.llvm.idioms import VECTOR, bulk_function
from backend.llvm.lower import (
    GUEST,
    SIGNATURE,
    STATE,
    Declarations,
    Lowering,
    is_vector,
    llvm_type,
)
from backend.llvm.regions import RegionLowering
from backend.llvm.softmmu_layout import (
    SYSTEM_JUMP_BITS,
    TLB_CODE,
    TLB_CODE_LINE_BYTES,
    TLB_CODE_LINES,
    TLB_LINES,
    Mmu,
)
from tcg import ops
from tcg.bulk import Bulk
from tcg.forms import Form
from tcg.ir import Access, Block, Function, Value
from tcg.passes.graph import reverse_postorder, successors
from tcg.reading import PAGE
from tcg.state import HEADER, MODE_BITS, NO_ADDRESS, Head, Reason
from tcg.system import CURRENT, HOST, PHYSICAL
from tcg.types import I64

FUNCTIONS = {
    "mmu_read": "ptr @mmu_read(ptr, ptr, i64, i64)",
    "mmu_write": "i32 @mmu_write(ptr, ptr, i64, i64)",
    "mmu_touch": "i32 @mmu_touch(ptr, ptr, i64, i64)",
    "mmu_range": "ptr @mmu_range(ptr, ptr, i64, i64, i32)",
    "mmu_copy": "i32 @mmu_copy(ptr, ptr, i64, i64, i64, i64, i64)",
    "mmu_repeat": "i32 @mmu_repeat(ptr, ptr, i64, i64, i64, i64)",
    "mmu_physical_load": "i64 @mmu_physical_load(ptr, i64, i64)",
    "mmu_physical_store": "void @mmu_physical_store(ptr, i64, i64, i64)",
}
"""What compiled code calls of softmmu.ll."""

WRITTEN = {"copy": 1, "copy_down": 1, "copy_until": 1, "fill": 1}
"""How many of a bulk operation's addresses, the first ones, are written to."""
COMPLETE = ("copy", "copy_down", "fill")
"""Bulk operations that do all or nothing; the others may stop at any element."""


class SoftMmu(Lowering):
    """Guest memory by way of the TLB."""

    volatile = ""
    jump_bits = SYSTEM_JUMP_BITS
    lookup_symbol = "s_lookup"
    follow_symbol = "s_follow"

    def __init__(self, function: Function, declarations: Declarations) -> None:
        super().__init__(function, declarations)
        self.stored_at_once = set()
        self.can_fail = False

    # -- calls -----------------------------------------------------------------------------

    def call_mmu(self, name: str, *arguments: str) -> str:
        """Call a function of softmmu.ll; gives its result, if it has one."""
        declaration = FUNCTIONS[name]
        self.declarations.lines[f"declare dso_local preserve_mostcc {declaration}"] = None
        result = declaration.split(maxsplit=1)[0]
        call = f"call preserve_mostcc {result} @{name}({', '.join(arguments)})"
        if result == "void":
            self.line(call)
            return ""
        return self.temp(call)

    def note_place(self) -> None:
        """Emit what makes the place of an access known that failed."""

    def fail(self, status: str) -> None:
        """Leave because an access could not be done."""
        self.can_fail = True
        self.note_place()
        self.set_header("mmu_status", status)
        self.line("br label %failed")

    def leave_failed(self) -> None:
        """The end of all ways that `fail` goes, once the state is stored."""
        status = self.temp(f"load i32, ptr {self.header('mmu_status')}{STATE}")
        is_code = self.temp(f"icmp eq i32 {status}, {Mmu.CODE}")
        reason = self.temp(f"select i1 {is_code}, i32 {Reason.CODE_WRITE}, i32 {Reason.FAULT}")
        self.set_header("exit_reason", reason)
        self.line("ret void")

    def _fail_unless(self, status: str) -> None:
        """Go on if a status is zero."""
        fine, bad = self.fresh("done"), self.fresh("fail")
        is_fine = self.temp(f"icmp eq i32 {status}, 0")
        self.line(f"br i1 {is_fine}, label %{fine}, label %{bad}, !prof !5")
        self.label(bad)
        self.fail(status)
        self.label(fine)

    def _fail_if_null(self, pointer: str) -> None:
        fine, bad = self.fresh("done"), self.fresh("fail")
        is_fine = self.temp(f"icmp ne ptr {pointer}, null")
        self.line(f"br i1 {is_fine}, label %{fine}, label %{bad}, !prof !5")
        self.label(bad)
        self.fail(str(Mmu.FAULT))
        self.label(fine)

    # -- accesses --------------------------------------------------------------------------

    def linear(self, address: Value) -> str:
        """A linear address as 64 bits."""
        text = self.operand(address)
        if address.type is I64:
            return text
        return self.temp(f"zext {address.type} {text} to i64")

    def _tlb(self, mmu: int) -> str:
        """The TLB to go by: that in force, or the supervisor's."""
        if mmu == CURRENT:
            return "%base"
        return self.temp(f"load ptr, ptr {self.header('tlbs')}{STATE}")

    def _probe(self, linear: str, size: int, column: int) -> tuple[str, str]:
        """The host pointer that goes with an address if the TLB has its page, and whether so.

        `column`: 0 to read, 1 to write.  The page is that of the last byte but the line that of the
        first, so an access that reaches over a page's end never hits.
        """
        number = self.temp(f"lshr i64 {linear}, 12")
        index = self.temp(f"and i64 {number}, {TLB_LINES - 1}")
        line = self.temp(f"getelementptr {{ i64, i64, ptr, i64 }}, ptr %base, i64 {index}")
        last = self.temp(f"add i64 {linear}, {size - 1}") if size > 1 else linear
        page = self.temp(f"and i64 {last}, {-PAGE}")
        tag = self.temp(
            f"load i64, ptr {self.temp(f'getelementptr i8, ptr {line}, i64 {8 * column}')}"
        )
        hit = self.temp(f"icmp eq i64 {tag}, {page}")
        addend = self.temp(f"load ptr, ptr {self.temp(f'getelementptr i8, ptr {line}, i64 16')}")
        return self.temp(f"getelementptr i8, ptr {addend}, i64 {linear}"), hit

    def readable(self, address: Value, size: int, mmu: int) -> str:
        """Where `size` bytes can be read from; leaves if paging forbids it."""
        linear, tlb = self.linear(address), self._tlb(mmu)
        if mmu != CURRENT:
            found = self.call_mmu(
                "mmu_read", "ptr %env", f"ptr {tlb}", f"i64 {linear}", f"i64 {size}"
            )
            self._fail_if_null(found)
            return found
        host, hit = self._probe(linear, size, 0)
        fast, miss, slow, on = (self.fresh(hint) for hint in ("hit", "miss", "slow", "read"))
        self.line(f"br i1 {hit}, label %{fast}, label %{miss}, !prof !5")
        self.label(fast)
        self.line(f"br label %{on}")
        self.label(miss)
        found = self.call_mmu("mmu_read", "ptr %env", f"ptr {tlb}", f"i64 {linear}", f"i64 {size}")
        bad = self.fresh("fail")
        fine = self.temp(f"icmp ne ptr {found}, null")
        self.line(f"br i1 {fine}, label %{slow}, label %{bad}, !prof !5")
        self.label(bad)
        self.fail(str(Mmu.FAULT))
        self.label(slow)
        self.line(f"br label %{on}")
        self.label(on)
        return self.temp(f"phi ptr [ {host}, %{fast} ], [ {found}, %{slow} ]")

    def write(self, address: Value, size: int, mmu: int, type_: str, text: str) -> None:
        """Write a value of LLVM type `type_`; leaves if that cannot be done."""
        linear, tlb = self.linear(address), self._tlb(mmu)
        on = self.fresh("written")
        if mmu == CURRENT:
            host, hit = self._probe(linear, size, 1)
            fast, miss = self.fresh("hit"), self.fresh("miss")
            self.line(f"br i1 {hit}, label %{fast}, label %{miss}, !prof !5")
            self.label(fast)
            self.line(f"store {type_} {text}, ptr {host}, align 1{GUEST}")
            self.line(f"br label %{on}")
            self.label(miss)
        self.line(f"store {type_} {text}, ptr {self.header('bounce')}, align 1")
        status = self.call_mmu(
            "mmu_write", "ptr %env", f"ptr {tlb}", f"i64 {linear}", f"i64 {size}"
        )
        self._fail_unless(status)
        self.line(f"br label %{on}")
        self.label(on)

    def _check(self, access: Access, address: Value) -> None:
        """Leave where an access has to be aligned and is not."""
        if not access.is_checked:
            return
        fine, bad = self.fresh("aligned"), self.fresh("fail")
        odd = self.temp(f"and i64 {self.linear(address)}, {access.type.bits // 8 - 1}")
        is_fine = self.temp(f"icmp eq i64 {odd}, 0")
        self.line(f"br i1 {is_fine}, label %{fine}, label %{bad}, !prof !5")
        self.label(bad)
        self.set_header("fault_code", str(NO_ADDRESS))
        self.fail(str(Mmu.FAULT))
        self.label(fine)

    def _load(self, access: Access, address: Value) -> str:
        """What is in memory, in the type that it has there."""
        self._check(access, address)
        size = access.type.bits // 8
        t = self._memory_type(access)
        if access.mmu == HOST:
            pointer = self.temp(f"inttoptr i64 {self.operand(address)} to ptr")
            return self.temp(f"load {t}, ptr {pointer}, align 1")
        if access.mmu == PHYSICAL:
            arguments = ("ptr %env", f"i64 {self.operand(address)}", f"i64 {size}")
            wide = self.call_mmu("mmu_physical_load", *arguments)
            return wide if t == "i64" else self.temp(f"trunc i64 {wide} to {t}")
        pointer = self.readable(address, size, access.mmu)
        return self.temp(f"load {t}, ptr {pointer}, align 1{GUEST}")

    def _store(self, access: Access, address: Value, text: str) -> None:
        self._check(access, address)
        size = access.type.bits // 8
        t = self._memory_type(access)
        if access.mmu == HOST:
            pointer = self.temp(f"inttoptr i64 {self.operand(address)} to ptr")
            self.line(f"store {t} {text}, ptr {pointer}, align 1")
            return
        if access.mmu != PHYSICAL:
            self.write(address, size, access.mmu, t, text)
            return
        wide = text if t == "i64" else self.temp(f"zext {t} {text} to i64")
        arguments = (f"i64 {self.operand(address)}", f"i64 {wide}", f"i64 {size}")
        self.call_mmu("mmu_physical_store", "ptr %env", *arguments)

    @staticmethod
    def _memory_type(access: Access) -> str:
        if is_vector(access.type) or access.type.is_float:
            return llvm_type(access.type)
        return f"i{access.type.bits}"

    def lower_load(self, inst: Value) -> None:
        """Read guest memory."""
        assert inst.imm.order == "le", "machines of the other byte order have no whole systems yet"
        self.names[inst] = self._load(inst.imm, inst.args[0])

    load_extended = lower_load

    def lower_store(self, inst: Value) -> None:
        """Write guest memory."""
        assert inst.imm.order == "le", "machines of the other byte order have no whole systems yet"
        self._store(inst.imm, inst.args[0], self.operand(inst.args[1]))

    def lower_cas(self, inst: Value) -> None:
        """Compare and swap; nobody else runs meanwhile.  Memory is written in any case."""
        t = str(inst.imm.type)
        expected, new = (self.operand(a) for a in inst.args[1:])

        def chosen(old: str) -> str:
            same = self.temp(f"icmp eq {t} {old}, {expected}")
            return self.temp(f"select i1 {same}, {t} {new}, {t} {old}")

        self.names[inst] = self._update(inst.imm, inst.args[0], chosen)

    def lower_rmw(self, inst: Value) -> None:
        """Read, modify, write; nobody else runs meanwhile."""
        access: Access = inst.imm
        t, text = str(access.type), self.operand(inst.args[1])

        def modified(old: str) -> str:
            return text if access.rmw == "xchg" else self.temp(f"{access.rmw} {t} {old}, {text}")

        self.names[inst] = self._update(access, inst.args[0], modified)

    def _update(self, access: Access, address: Value, new: Callable[[str], str]) -> str:
        """Replace what is in memory, which is given; faults are those of a write."""
        size, t = access.type.bits // 8, str(access.type)
        if access.mmu == PHYSICAL:
            old = self._load(access, address)
            self._store(access, address, new(old))
            return old
        linear, tlb = self.linear(address), self._tlb(access.mmu)
        on, fast, last = self.fresh("updated"), "", ""
        if access.mmu == CURRENT:
            host, hit = self._probe(linear, size, 1)
            fast, miss = self.fresh("hit"), self.fresh("miss")
            self.line(f"br i1 {hit}, label %{fast}, label %{miss}, !prof !5")
            self.label(fast)
            before = self.temp(f"load {t}, ptr {host}, align 1{GUEST}")
            self.line(f"store {t} {new(before)}, ptr {host}, align 1{GUEST}")
            self.line(f"br label %{on}")
            self.label(miss)
        given = ("ptr %env", f"ptr {tlb}", f"i64 {linear}", f"i64 {size}")
        self._fail_unless(self.call_mmu("mmu_touch", *given))
        found = self.call_mmu("mmu_read", *given)
        old = self.temp(f"load {t}, ptr {found}, align 1")
        self.line(f"store {t} {new(old)}, ptr {self.header('bounce')}, align 1")
        last = self.fresh("slow")
        self._fail_unless(self.call_mmu("mmu_write", *given))
        self.line(f"br label %{last}")
        self.label(last)
        self.line(f"br label %{on}")
        self.label(on)
        if not fast:
            return old
        return self.temp(f"phi {t} [ {before}, %{fast} ], [ {old}, %{last} ]")

    # -- many bytes ------------------------------------------------------------------------

    def lower_bulk(self, inst: Value) -> None:
        """All addresses as host pointers, else one by one, or (a search) nothing done at all."""
        bulk: Bulk = inst.imm
        count = bulk.addresses
        linears = [self.linear(address) for address in inst.args[:count]]
        length = self.operand(inst.args[count])
        t = str(inst.type)
        wide = length if t == "i64" else self.temp(f"zext {t} {length} to i64")
        slow, join = self.fresh("slow"), self.fresh("bulk")
        pointers = []
        for number, linear in enumerate(linears):
            write = int(number < WRITTEN.get(bulk.kind, 0))
            pointer = self.call_mmu(
                "mmu_range", "ptr %env", "ptr %base", f"i64 {linear}", f"i64 {wide}", f"i32 {write}"
            )
            pointers.append(pointer)
            on = self.fresh("on")
            is_there = self.temp(f"icmp ne ptr {pointer}, null")
            self.line(f"br i1 {is_there}, label %{on}, label %{slow}, !prof !5")
            self.label(on)
        fast = self.fresh("fast")
        self.line(f"br label %{fast}")
        self.label(fast)
        done = self._bulk_at_once(inst, pointers)
        self.line(f"br label %{join}")
        self.label(slow)
        last = self._bulk_by_elements(inst, linears, wide)
        self.line(f"br label %{join}")
        self.label(join)
        rest = length if bulk.kind in COMPLETE else "0"
        self.names[inst] = self.temp(f"phi {t} [ {done}, %{fast} ], [ {rest}, %{last} ]")

    def _bulk_at_once(self, inst: Value, pointers: Sequence[str]) -> str:
        bulk: Bulk = inst.imm
        rest = [f"{llvm_type(a.type)} {self.operand(a)}" for a in inst.args[bulk.addresses :]]
        name, text = bulk_function(bulk, len(rest) - 1, inst.type)
        self.declarations.lines[text] = None
        lanes = VECTOR // bulk.size
        for count in (lanes, lanes // 2):
            self.declarations.lines[f"declare i{count} @llvm.cttz.i{count}(i{count}, i1)"] = None
        arguments = ", ".join([*(f"ptr {pointer}" for pointer in pointers), *rest])
        return self.temp(f"call fastcc {inst.type} @{name}({arguments})")

    def _bulk_by_elements(self, inst: Value, linears: Sequence[str], length: str) -> str:
        """Where something is no plain memory; gives the label that this ends in."""
        bulk: Bulk = inst.imm
        status = self.temp(f"load i32, ptr {self.header('mmu_status')}{STATE}")
        device = self.fresh("device")
        special = self.temp(f"icmp uge i32 {status}, {Mmu.DEVICE}")
        bad = self.fresh("fail")
        self.line(f"br i1 {special}, label %{device}, label %{bad}, !prof !5")
        self.label(bad)
        self.fail(status)
        self.label(device)
        if bulk.kind not in COMPLETE:
            return device
        count = self.temp(f"udiv i64 {length}, {bulk.size}")
        result = self._one_by_one(inst, linears, length, count)
        fine, failed = self.fresh("done"), self.fresh("fail")
        is_fine = self.temp(f"icmp eq i32 {result}, 0")
        self.line(f"br i1 {is_fine}, label %{fine}, label %{failed}, !prof !5")
        self.label(failed)
        self.fail(result)
        self.label(fine)
        return fine

    def _one_by_one(self, inst: Value, linears: Sequence[str], length: str, count: str) -> str:
        bulk: Bulk = inst.imm
        if bulk.kind == "fill":
            element = inst.args[2]
            text = self.operand(element)
            value = text if element.type is I64 else self.temp(f"zext {element.type} {text} to i64")
            return self.call_mmu(
                "mmu_repeat", "ptr %env", "ptr %base", f"i64 {linears[0]}", f"i64 {count}",
                f"i64 {bulk.size}", f"i64 {value}",
            )  # fmt: skip
        step = bulk.size
        if bulk.kind == "copy_down":
            back = self.temp(f"sub i64 {length}, {bulk.size}")
            linears = [self.temp(f"add i64 {linear}, {back}") for linear in linears]
            step = -step
        return self.call_mmu(
            "mmu_copy", "ptr %env", "ptr %base", f"i64 {linears[0]}", f"i64 {linears[1]}",
            f"i64 {count}", f"i64 {bulk.size}", f"i64 {step}",
        )  # fmt: skip

    # -- ways on ---------------------------------------------------------------------------

    def jump_key(self, wide: str) -> str:
        """The key that code at a pc has in the code segment that we are in."""
        space = self.temp(f"load i64, ptr {self.header('code_space')}{STATE}")
        return self.temp(f"add i64 {wide}, {space}")

    def go_far(self, wide: str) -> None:
        """Go on where mode and privilege may be others."""
        self.set_header("exit_pc", wide)
        self.declarations.lines[f"declare dso_local tailcc void @s_far({SIGNATURE})"] = None
        self.line("musttail call tailcc void @s_far(ptr %env, ptr %rec, ptr %base)")
        self.line("ret void")


class SystemHandlerLowering(SoftMmu, HandlerLowering):
    """Handlers of a whole machine."""

    def __init__(self, form: Form, declarations: Declarations, pc_shift: int) -> None:
        HandlerLowering.__init__(self, form, declarations, pc_shift)
        self.stored_at_once = set()
        self.can_fail = False

    def before_access(self) -> None:
        """The place is noted only where an access fails."""

    def note_place(self) -> None:
        self.set_header("current_rec", self.temp("ptrtoint ptr %rec to i64"))

    def text(self) -> str:
        body = super().text()
        if not self.can_fail:
            return body
        self.lines = []
        self.label("failed")
        self.leave_failed()
        return body.removesuffix("}") + "\n".join((*self.lines, "}"))

    def lower_jump(self, inst: Value) -> None:
        """A jump into another segment or privilege looks for its target in the way of that."""
        if inst.imm != "far":
            super().lower_jump(inst)
            return
        target = inst.args[0]
        pc = self.operand(target)
        self.go_far(pc if target.type is I64 else self.temp(f"zext {target.type} {pc} to i64"))

    def lower_next(self, inst: Value) -> None:
        """Go on with the record that follows; a routine returns."""
        if self.function.kind == "routine":
            self.line("ret void")
        else:
            super().lower_next(inst)


class SystemRegionLowering(SoftMmu, RegionLowering):
    """Regions of a whole machine: blocks of one code segment, in pages that may be mapped anew.

    An access that fails leaves from the middle of a block, and stores everything back.
    """

    fills_at_once = True

    def __init__(
        self,
        region: Function,
        declarations: Declarations,
        pc_shift: int,
        entries: Sequence[int],
        code_space: int,
    ) -> None:
        RegionLowering.__init__(self, region, declarations, pc_shift, entries, parallel=False)
        self.stored_at_once = set()
        self.can_fail = False
        self.code_base = code_space >> 32
        self.pc = entries[0]
        self.pcs = _pcs(region)
        header = set(HEADER.values())
        self.in_memory |= header
        self.dirty -= header
        self.lazy = {slot: kinds for slot, kinds in self.lazy.items() if slot not in header}

    def start_block(self, block: Block) -> None:
        self.pc = self.pcs.get(block.label, self.pc)
        super().start_block(block)

    def lower_insn(self, inst: Value) -> None:
        """Remember where we are."""
        self.pc = inst.imm[0]

    def before_access(self) -> None:
        """The place is noted only where an access fails."""

    def note_place(self) -> None:
        self.set_header("current_pc", str(self.pc))

    def _page(self, pc: int) -> int:
        return (pc + self.code_base) & -PAGE

    def lower_poll(self, inst: Value) -> None:
        """Where the guest goes on in another page, see as well that this is still mapped there."""
        super().lower_poll(inst)
        pc = inst.imm[0]
        if self._page(pc) == self._page(self.pc):
            return
        page = self._page(pc)
        at = TLB_CODE + (page // PAGE) % TLB_CODE_LINES * TLB_CODE_LINE_BYTES
        line = self.temp(f"getelementptr i8, ptr %base, i64 {at}")
        tag = self.temp(f"load i64, ptr {line}")
        there = self.temp(f"load i64, ptr {self.temp(f'getelementptr i8, ptr {line}, i64 8')}")
        head = self.declarations.external(head_symbol(pc))
        where = self.temp(
            f"load i64, ptr {self.temp(f'getelementptr i8, ptr {head}, i64 {Head.WHERE}')}"
        )
        physical = self.temp(f"lshr i64 {where}, {MODE_BITS}")
        wanted = self.temp(f"and i64 {physical}, {-PAGE}")
        same_page = self.temp(f"icmp eq i64 {tag}, {I64.signed(page & I64.mask)}")
        same_place = self.temp(f"icmp eq i64 {there}, {wanted}")
        same = self.temp(f"and i1 {same_page}, {same_place}")
        other, on = self.fresh("moved"), self.fresh("mapped")
        self.line(f"br i1 {same}, label %{on}, label %{other}, !prof !5")
        self.label(other)
        self._forget_dead(inst.imm[1])
        self._leave_to(pc)
        self.label(on)

    def _leave_to(self, pc: int) -> None:
        """Go on outside: by a head within the page, else by looking for what is mapped there."""
        if self._page(pc) == self._page(self.pc):
            super()._leave_to(pc)
            return
        self._jump_to(str(pc))

    def lower_jump(self, inst: Value) -> None:
        """A jump into another segment or privilege looks for its target in the way of that."""
        if inst.imm != "far":
            super().lower_jump(inst)
            return
        target = inst.args[0]
        pc = self.operand(target)
        wide = pc if target.type is I64 else self.temp(f"zext {target.type} {pc} to i64")
        self._write_back(self.written)
        self.go_far(wide)

    def _ways_out(self) -> None:
        super()._ways_out()
        if self.can_fail:
            self.wholes.clear()
            self.label("failed")
            self._write_back(self.dirty)
            self.leave_failed()


def _pcs(region: Function) -> dict[str, int]:
    """For each IR block that begins within a guest instruction, the address of that."""
    found: dict[str, int] = {}
    for block in reverse_postorder(region):
        pc = found.get(block.label)
        for inst in block.insts:
            if inst.op is ops.INSN:
                pc = inst.imm[0]
        if pc is not None:
            for label in successors(block):
                found.setdefault(label, pc)
    return found
