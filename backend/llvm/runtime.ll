; The native runtime: the way into guest code and out of it, host signals, and the handlers that
; every guest shares.  What stands in double braces is a number: the offset of a header field in
; env, or one of those in runtime_layout.py and tcg/state.py.

; ---- what the host gives ---------------------------------------------------------------------

declare ptr @pthread_getspecific(i32)
declare i32 @pthread_setspecific(i32, ptr)
declare ptr @signal(i32, ptr)
declare i32 @clock_gettime(i32, ptr)

; libc may lie more than 2 GiB away, so it is called through these.
@host_getspecific = hidden global ptr @pthread_getspecific
@host_setspecific = hidden global ptr @pthread_setspecific
@host_signal      = hidden global ptr @signal
@host_clock       = hidden global ptr @clock_gettime

; ---- what belongs to the process; set up by runtime.py ------------------------------------------

@rt_key         = hidden global i32 0     ; the pthread key under which a thread's env is
@rt_main_env    = hidden global ptr null  ; who is told of signals that reach a thread without env
@rt_signal_ring = hidden global ptr null

; What header.runtime points to.
@rt_host_table = hidden global [1 x ptr] [ptr @rt_clock]

; Fills empty places of a jump cache: no guest pc is -1.
@rt_empty_head = hidden global { ptr, ptr, i64, i32, i32, i64, i64 }
    { ptr @h_untranslated, ptr null, i64 -1, i32 0, i32 0, i64 0, i64 0 }, align 64

define i64 @rt_clock() nounwind {
  %time = alloca { i64, i64 }
  %clock = load ptr, ptr @host_clock
  %status = call i32 %clock(i32 1, ptr %time)
  %seconds = load i64, ptr %time
  %rest = getelementptr i8, ptr %time, i64 8
  %nanoseconds = load i64, ptr %rest
  %scaled = mul i64 %seconds, 1000000000
  %sum = add i64 %scaled, %nanoseconds
  ret i64 %sum
}

; ---- in and out ------------------------------------------------------------------------------

; rt_run(env, rec): run guest code from a record until it returns, or a fault ends it at rt_leave.
; The guest's MXCSR is only in force in here.
module asm ".intel_syntax noprefix"
module asm ".globl rt_run, rt_leave"
module asm ".p2align 4"
module asm "rt_run:"
module asm "  push rbp"
module asm "  push rbx"
module asm "  push r12"
module asm "  push r13"
module asm "  push r14"
module asm "  push r15"
module asm "  push rdi"
module asm "  mov [rdi + {{host_stack}}], rsp"
module asm "  stmxcsr [rdi + {{host_mxcsr}}]"
module asm "  ldmxcsr [rdi + {{mxcsr}}]"
module asm "  fnstsw ax"
module asm "  test al, 63"
module asm "  jz 1f"
module asm "  fnclex"
module asm "1:"
module asm "  cmp word ptr [rdi + {{x87_control}}], {{CONTROL_DEFAULT}}"
module asm "  je 2f"
module asm "  fldcw [rdi + {{x87_control}}]"
module asm "2:"
module asm "  mov rdx, [rdi + {{base}}]"
module asm "  mov dword ptr [rdi + {{in_guest}}], 1"
module asm "  call rt_call"
module asm "rt_leave:"
module asm "  pop rdi"
module asm "  mov dword ptr [rdi + {{in_guest}}], 0"
module asm "  stmxcsr [rdi + {{mxcsr}}]"
module asm "  ldmxcsr [rdi + {{host_mxcsr}}]"
module asm "  fnstsw ax"
module asm "  and eax, 63"
module asm "  or [rdi + {{x87_status}}], eax"
module asm "  cmp word ptr [rdi + {{x87_control}}], {{CONTROL_DEFAULT}}"
module asm "  je 3f"
module asm "  mov word ptr [rsp - 8], {{CONTROL_DEFAULT}}"
module asm "  fldcw [rsp - 8]"
module asm "3:"
module asm "  pop r15"
module asm "  pop r14"
module asm "  pop r13"
module asm "  pop r12"
module asm "  pop rbx"
module asm "  pop rbp"
module asm "  ret"

; safe_syscall(env, number, six arguments): a system call that is not entered once header.event is
; set.  A signal that comes between the look at event and the kernel's own look at pending signals
; finds the pc between rt_syscall_begin and rt_syscall_end and moves it to rt_syscall_undone.  A
; call that the kernel would restart after the signal has its pc set back to the instruction, so it
; is found there as well.
module asm ".globl safe_syscall, rt_syscall_begin, rt_syscall_end, rt_syscall_undone"
module asm ".p2align 4"
module asm "safe_syscall:"
module asm "  mov rax, rsi"
module asm "  mov r11, rdi"
module asm "  mov rdi, rdx"
module asm "  mov rsi, rcx"
module asm "  mov rdx, r8"
module asm "  mov r10, r9"
module asm "  mov r8, [rsp + 8]"
module asm "  mov r9, [rsp + 16]"
module asm "rt_syscall_begin:"
module asm "  cmp dword ptr [r11 + {{event}}], 0"
module asm "  jne rt_syscall_undone"
module asm "  syscall"
module asm "rt_syscall_end:"
module asm "  ret"
module asm "rt_syscall_undone:"
module asm "  mov rax, -{{ERESTARTSYS}}"
module asm "  ret"
module asm ".att_syntax"

; tailcc's rules for the stack are LLVM's own business.
define hidden void @rt_call(ptr %env, ptr %rec, ptr %base) nounwind {
  %code = load ptr, ptr %rec
  call tailcc void %code(ptr %env, ptr %rec, ptr %base)
  ret void
}

declare dso_local void @rt_run(ptr, ptr)
@rt_leave          = external dso_local global i8
@rt_syscall_begin  = external dso_local global i8
@rt_syscall_end    = external dso_local global i8
@rt_syscall_undone = external dso_local global i8

; The thread that calls this is the one that runs env (or none, with null).
define void @attach(ptr %env) nounwind {
  %key = load i32, ptr @rt_key
  %set = load ptr, ptr @host_setspecific
  %status = call i32 %set(i32 %key, ptr %env)
  ret void
}

define i32 @enter(ptr %env, ptr %rec) nounwind {
  call void @attach(ptr %env)
  call void @rt_run(ptr %env, ptr %rec)
  %reason.at = getelementptr i8, ptr %env, i64 {{exit_reason}}
  %reason = load i32, ptr %reason.at
  ret i32 %reason
}

; Store `new` in a word if it is `old`; gives what it was.
define i32 @compare_exchange(ptr %word, i32 %old, i32 %new) nounwind {
  %pair = cmpxchg ptr %word, i32 %old, i32 %new seq_cst seq_cst
  %was = extractvalue { i32, i1 } %pair, 0
  ret i32 %was
}

; ---- the shared handlers -----------------------------------------------------------------------

; The code of a head whose block nobody has decoded yet.
define tailcc void @h_untranslated(ptr noalias %env, ptr %rec, ptr %base) nounwind {
  musttail call tailcc void @leave_at(ptr %env, ptr %rec, i32 {{Reason.UNTRANSLATED}})
  ret void
}

; Leave, with exit_rec and exit_reason.
define internal tailcc void @leave_at(ptr %env, ptr %rec, i32 %reason) nounwind {
  %rec.at = getelementptr i8, ptr %env, i64 {{exit_rec}}
  store ptr %rec, ptr %rec.at
  %reason.at = getelementptr i8, ptr %env, i64 {{exit_reason}}
  store i32 %reason, ptr %reason.at
  ret void
}

; The code of a head that counts its entries down; at zero its block is hot.
define tailcc void @h_count(ptr noalias %env, ptr %rec, ptr %base) nounwind {
  %count.at = getelementptr i8, ptr %rec, i64 {{Head.COUNTER}}
  %count = load i32, ptr %count.at
  %less = sub i32 %count, 1
  store i32 %less, ptr %count.at
  %is_hot = icmp eq i32 %less, 0
  br i1 %is_hot, label %hot, label %cold, !prof !0
hot:
  musttail call tailcc void @leave_at(ptr %env, ptr %rec, i32 {{Reason.HOT}})
  ret void
cold:
  musttail call tailcc void @h_body(ptr %env, ptr %rec, ptr %base)
  ret void
}

; The code of a head that does not count: on to the first record of the block.
define tailcc void @h_body(ptr noalias %env, ptr %rec, ptr %base) nounwind {
  %body.at = getelementptr i8, ptr %rec, i64 {{Head.BODY}}
  %body = load ptr, ptr %body.at
  %code = load ptr, ptr %body
  musttail call tailcc void %code(ptr %env, ptr %body, ptr %base)
  ret void
}

; A record that just goes on with another block, after a look at the event word.
define tailcc void @h_goto(ptr noalias %env, ptr %rec, ptr %base) nounwind {
  %link.at = getelementptr i8, ptr %rec, i64 {{Record.LINK}}
  %link = load i64, ptr %link.at
  %tag = trunc i64 %link to i1
  %event.at = getelementptr i8, ptr %env, i64 {{event}}
  %event = load volatile i32, ptr %event.at
  %pending = icmp ne i32 %event, 0
  %stop = or i1 %tag, %pending
  br i1 %stop, label %slow, label %on, !prof !0
on:
  %there = inttoptr i64 %link to ptr
  %code = load ptr, ptr %there
  musttail call tailcc void %code(ptr %env, ptr %there, ptr %base)
  ret void
slow:
  musttail call tailcc void @h_follow(ptr %env, ptr %rec, ptr %base)
  ret void
}

; What a record does whose link is not set, or that sees an event.  A link that is not set is the
; target's pc times four plus one.
define tailcc void @h_follow(ptr noalias %env, ptr %rec, ptr %base) nounwind {
  %link.at = getelementptr i8, ptr %rec, i64 {{Record.LINK}}
  %link = load i64, ptr %link.at
  %unset = trunc i64 %link to i1
  %event.at = getelementptr i8, ptr %env, i64 {{event}}
  %event = load volatile i32, ptr %event.at
  %pending = icmp ne i32 %event, 0
  br i1 %unset, label %find, label %known
known:
  %there = inttoptr i64 %link to ptr
  br i1 %pending, label %stop, label %go
stop:
  musttail call tailcc void @leave_at(ptr %env, ptr %there, i32 {{Reason.EVENT}})
  ret void
find:
  %pc = ashr i64 %link, 2
  br i1 %pending, label %stay, label %search
stay:
  musttail call tailcc void @leave_to(ptr %env, i64 %pc, i32 {{Reason.EVENT}})
  ret void
search:
  %links = load i32, ptr @rt_links
  %is_linking = icmp ne i32 %links, 0
  br i1 %is_linking, label %ask, label %miss
ask:
  %head = call ptr @rt_find(i64 %pc, i64 0)
  %is_none = icmp eq ptr %head, null
  br i1 %is_none, label %miss, label %found
miss:
  musttail call tailcc void @leave_to(ptr %env, i64 %pc, i32 {{Reason.LOOKUP}})
  ret void
found:
  ; Where nothing counts entries, links lead straight to the bodies, once there are any.
  %body.at = getelementptr i8, ptr %head, i64 {{Head.BODY}}
  %body = load ptr, ptr %body.at
  %now = load ptr, ptr %head
  %untranslated = icmp eq ptr %now, @h_untranslated
  %to_heads = icmp eq i32 %links, 1
  %to_head = or i1 %untranslated, %to_heads
  %way_in = select i1 %to_head, ptr %head, ptr %body
  br i1 %untranslated, label %go, label %set
set:
  store ptr %way_in, ptr %link.at
  br label %go
go:
  %next = phi ptr [ %there, %known ], [ %way_in, %found ], [ %way_in, %set ]
  %code = load ptr, ptr %next
  musttail call tailcc void %code(ptr %env, ptr %next, ptr %base)
  ret void
}

; What a computed jump does that missed the jump cache: its target is in exit_pc.
define tailcc void @h_lookup(ptr noalias %env, ptr %rec, ptr %base) nounwind {
  %pc.at = getelementptr i8, ptr %env, i64 {{exit_pc}}
  %pc = load i64, ptr %pc.at
  %links = load i32, ptr @rt_links
  %is_linking = icmp ne i32 %links, 0
  br i1 %is_linking, label %ask, label %miss
ask:
  %head = call ptr @rt_find(i64 %pc, i64 0)
  %is_none = icmp eq ptr %head, null
  br i1 %is_none, label %miss, label %found
miss:
  musttail call tailcc void @leave_to(ptr %env, i64 %pc, i32 {{Reason.LOOKUP}})
  ret void
found:
  %cache.at = getelementptr i8, ptr %env, i64 {{jump_cache}}
  %cache = load ptr, ptr %cache.at
  %shift.at = load i32, ptr @rt_pc_shift
  %shift = zext i32 %shift.at to i64
  %shifted = lshr i64 %pc, %shift
  %index = and i64 %shifted, {{JUMP_CACHE_MASK}}
  %entry = getelementptr ptr, ptr %cache, i64 %index
  store ptr %head, ptr %entry
  %code = load ptr, ptr %head
  musttail call tailcc void %code(ptr %env, ptr %head, ptr %base)
  ret void
}

; Leave to go on at a pc.
define internal tailcc void @leave_to(ptr %env, i64 %pc, i32 %reason) nounwind {
  %rec.at = getelementptr i8, ptr %env, i64 {{exit_rec}}
  store ptr null, ptr %rec.at
  %pc.at = getelementptr i8, ptr %env, i64 {{exit_pc}}
  store i64 %pc, ptr %pc.at
  %reason.at = getelementptr i8, ptr %env, i64 {{exit_reason}}
  store i32 %reason, ptr %reason.at
  ret void
}

; The first record of a block in a page that is written to all the time: goes on if the code is what
; the block was made from.  Its patience is how often it does so before somebody looks again.
define tailcc void @h_check(ptr noalias %env, ptr %rec, ptr %base) nounwind {
  %current.at = getelementptr i8, ptr %env, i64 {{current_rec}}
  store volatile ptr %rec, ptr %current.at
  %pc.at = getelementptr i8, ptr %rec, i64 {{Check.PC}}
  %pc = load i64, ptr %pc.at
  %wanted.at = getelementptr i8, ptr %rec, i64 {{Check.CODE}}
  %wanted = load ptr, ptr %wanted.at
  %size.at = getelementptr i8, ptr %rec, i64 {{Check.SIZE}}
  %size = load i32, ptr %size.at
  %patience.at = getelementptr i8, ptr %rec, i64 {{Check.PATIENCE}}
  %patience = load i32, ptr %patience.at
  %left = sub i32 %patience, 1
  store i32 %left, ptr %patience.at
  %is_over = icmp eq i32 %left, 0
  %code = getelementptr i8, ptr %base, i64 %pc
  br i1 %is_over, label %stale, label %loop
loop:
  %i = phi i32 [ 0, %0 ], [ %more, %same ]
  %at = zext i32 %i to i64
  %here = getelementptr i8, ptr %code, i64 %at
  %there = getelementptr i8, ptr %wanted, i64 %at
  %x = load volatile i8, ptr %here
  %y = load i8, ptr %there
  %is_same = icmp eq i8 %x, %y
  br i1 %is_same, label %same, label %stale
same:
  %more = add i32 %i, 1
  %goes_on = icmp ult i32 %more, %size
  br i1 %goes_on, label %loop, label %on
on:
  %next = getelementptr i8, ptr %rec, i64 32
  %handler = load ptr, ptr %next
  musttail call tailcc void %handler(ptr %env, ptr %next, ptr %base)
  ret void
stale:
  musttail call tailcc void @leave_at(ptr %env, ptr %rec, i32 {{Reason.STALE}})
  ret void
}

; ---- heads by guest pc -------------------------------------------------------------------------

; The table is { mask, heads... }, open addressing, never more than half full.  It only grows, and
; is then replaced as a whole; whoever reads meanwhile sees either.  Only the holder of the world's
; lock writes.
@rt_heads     = hidden global ptr null
@rt_head_next = hidden global ptr null    ; room for new heads: from here
@rt_head_end  = hidden global ptr null    ; to here
@rt_links     = hidden global i32 1       ; where links lead: 0 nowhere, 1 to heads, 2 to bodies
@rt_pc_shift  = hidden global i32 0
@rt_notices   = hidden global i32 0       ; whether stores into code take effect at once

; Where a pc is in the table, or would be.
define internal ptr @head_entry(ptr %table, i64 %pc, i64 %where) nounwind {
  %mask = load i64, ptr %table
  %turned = call i64 @llvm.fshl.i64(i64 %where, i64 %where, i64 20)
  %both = xor i64 %pc, %turned
  %mixed = mul i64 %both, -7046029254386353131
  %hash = lshr i64 %mixed, 32
  br label %loop
loop:
  %i = phi i64 [ %hash, %0 ], [ %more, %next ]
  %index = and i64 %i, %mask
  %behind = add i64 %index, 1
  %entry = getelementptr ptr, ptr %table, i64 %behind
  %head = load atomic ptr, ptr %entry acquire, align 8
  %is_free = icmp eq ptr %head, null
  br i1 %is_free, label %done, label %look
look:
  %its.at = getelementptr i8, ptr %head, i64 {{Head.PC}}
  %its = load i64, ptr %its.at
  %is_pc = icmp eq i64 %its, %pc
  %where.at = getelementptr i8, ptr %head, i64 {{Head.WHERE}}
  %its.where = load i64, ptr %where.at
  %is_there = icmp eq i64 %its.where, %where
  %is_it = and i1 %is_pc, %is_there
  br i1 %is_it, label %done, label %next
next:
  %more = add i64 %i, 1
  br label %loop
done:
  ret ptr %entry
}

declare i64 @llvm.fshl.i64(i64, i64, i64)

; The head of a pc, in a whole machine with what tells where it is (Head.WHERE), or null.
define ptr @rt_find(i64 %pc, i64 %where) nounwind {
  %table = load ptr, ptr @rt_heads
  %entry = call ptr @head_entry(ptr %table, i64 %pc, i64 %where)
  %head = load ptr, ptr %entry
  ret ptr %head
}

; The head of a pc, which is made if need be; null if there is no room for it.
define ptr @rt_head(i64 %pc, i64 %where) nounwind {
  %table = load ptr, ptr @rt_heads
  %entry = call ptr @head_entry(ptr %table, i64 %pc, i64 %where)
  %known = load ptr, ptr %entry
  %is_new = icmp eq ptr %known, null
  br i1 %is_new, label %make, label %old
old:
  ret ptr %known
make:
  %head = load ptr, ptr @rt_head_next
  %end = load ptr, ptr @rt_head_end
  %is_full = icmp eq ptr %head, %end
  br i1 %is_full, label %full, label %room
full:
  ret ptr null
room:
  store ptr @h_untranslated, ptr %head
  %pc.at = getelementptr i8, ptr %head, i64 {{Head.PC}}
  store i64 %pc, ptr %pc.at
  %where.at = getelementptr i8, ptr %head, i64 {{Head.WHERE}}
  store i64 %where, ptr %where.at
  %next = getelementptr i8, ptr %head, i64 {{Head.SIZE}}
  store ptr %next, ptr @rt_head_next
  store atomic ptr %head, ptr %entry release, align 8
  ret ptr %head
}

; Go over to a larger table, zeroed but for its mask.
define void @rt_grow(ptr %new) nounwind {
  %old = load ptr, ptr @rt_heads
  %is_first = icmp eq ptr %old, null
  br i1 %is_first, label %done, label %start
start:
  %mask = load i64, ptr %old
  br label %loop
loop:
  %i = phi i64 [ 0, %start ], [ %behind, %next ]
  %behind = add i64 %i, 1
  %from = getelementptr ptr, ptr %old, i64 %behind
  %head = load ptr, ptr %from
  %is_none = icmp eq ptr %head, null
  br i1 %is_none, label %next, label %move
move:
  %pc.at = getelementptr i8, ptr %head, i64 {{Head.PC}}
  %pc = load i64, ptr %pc.at
  %where.at = getelementptr i8, ptr %head, i64 {{Head.WHERE}}
  %where = load i64, ptr %where.at
  %to = call ptr @head_entry(ptr %new, i64 %pc, i64 %where)
  store ptr %head, ptr %to
  br label %next
next:
  %last = icmp eq i64 %i, %mask
  br i1 %last, label %done, label %loop
done:
  store atomic ptr %new, ptr @rt_heads release, align 8
  ret void
}

; Have no head lead to code: what they led to goes.
define void @rt_forget() nounwind {
  %table = load ptr, ptr @rt_heads
  %mask = load i64, ptr %table
  br label %loop
loop:
  %i = phi i64 [ 0, %0 ], [ %behind, %next ]
  %behind = add i64 %i, 1
  %entry = getelementptr ptr, ptr %table, i64 %behind
  %head = load ptr, ptr %entry
  %is_none = icmp eq ptr %head, null
  br i1 %is_none, label %next, label %forget
forget:
  store ptr @h_untranslated, ptr %head
  br label %next
next:
  %last = icmp eq i64 %i, %mask
  br i1 %last, label %done, label %loop
done:
  ret void
}

; rt_load(records, handlers, places, their count, blocks, their count, code, counter): make a page's
; records, as they are kept on disk, run here.  A place is the offset of a record in units of 32 bytes and, in
; its upper half, the number of its handler.  A block is { pc, offset of its body }: its head leads
; there from now on, unless it has been translated already.  There must be room for the heads.
define void @rt_load(ptr %records, ptr %handlers, ptr %places, i64 %count, ptr %blocks, i64 %block.count, ptr %code, i32 %counter) nounwind {
  %end = getelementptr { i64, i64 }, ptr %blocks, i64 %block.count
  br label %loop
loop:
  %i = phi i64 [ 0, %0 ], [ %next, %loop ]
  %place.at = getelementptr i32, ptr %places, i64 %i
  %place = load i32, ptr %place.at, align 1
  %wide = zext i32 %place to i64
  %low = and i64 %wide, 65535
  %offset = shl i64 %low, 5
  %number = lshr i64 %wide, 16
  %handler.at = getelementptr ptr, ptr %handlers, i64 %number
  %handler = load ptr, ptr %handler.at, align 1
  %record = getelementptr i8, ptr %records, i64 %offset
  store ptr %handler, ptr %record
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, %count
  br i1 %more, label %loop, label %heads
heads:
  %block = phi ptr [ %blocks, %loop ], [ %following, %on ]
  %pc = load i64, ptr %block, align 1
  %body.offset.at = getelementptr i8, ptr %block, i64 8
  %body.offset = load i64, ptr %body.offset.at, align 1
  %body = getelementptr i8, ptr %records, i64 %body.offset
  %head = call ptr @rt_head(i64 %pc, i64 0)
  %now = load ptr, ptr %head
  %is_free = icmp eq ptr %now, @h_untranslated
  br i1 %is_free, label %set, label %on
set:
  %body.at = getelementptr i8, ptr %head, i64 {{Head.BODY}}
  store ptr %body, ptr %body.at
  %counter.at = getelementptr i8, ptr %head, i64 {{Head.COUNTER}}
  store i32 %counter, ptr %counter.at
  store atomic ptr %code, ptr %head release, align 8
  br label %on
on:
  %following = getelementptr i8, ptr %block, i64 16
  %is_last = icmp eq ptr %following, %end
  br i1 %is_last, label %done, label %heads
done:
  ret void
}

; ---- rings: what signal handlers leave for Python ------------------------------------------------

; Give a free slot of a ring, or null with the bits of %loss added to those that were lost.
define internal ptr @reserve(ptr %ring, i64 %loss) nounwind {
  br label %again
again:
  %head.at = getelementptr i8, ptr %ring, i64 {{Ring.HEAD}}
  %head = load atomic i64, ptr %head.at seq_cst, align 8
  %tail.at = getelementptr i8, ptr %ring, i64 {{Ring.TAIL}}
  %tail = load atomic i64, ptr %tail.at seq_cst, align 8
  %used = sub i64 %head, %tail
  %full = icmp uge i64 %used, {{Ring.SLOTS}}
  br i1 %full, label %lose, label %take
lose:
  %lost.at = getelementptr i8, ptr %ring, i64 {{Ring.LOST}}
  %old = atomicrmw or ptr %lost.at, i64 %loss seq_cst
  ret ptr null
take:
  %next = add i64 %head, 1
  %pair = cmpxchg ptr %head.at, i64 %head, i64 %next seq_cst seq_cst
  %won = extractvalue { i64, i1 } %pair, 1
  br i1 %won, label %mine, label %again
mine:
  %index = urem i64 %head, {{Ring.SLOTS}}
  %offset = mul i64 %index, {{Ring.SLOT_BYTES}}
  %from = add i64 %offset, {{Ring.FIRST_SLOT}}
  %slot = getelementptr i8, ptr %ring, i64 %from
  %ticket.at = getelementptr i8, ptr %slot, i64 {{Ring.TICKET}}
  store i64 %next, ptr %ticket.at
  ret ptr %slot
}

; The slot is filled: its reader waits for this word to become its ticket.
define internal void @commit(ptr %slot) nounwind {
  %ticket.at = getelementptr i8, ptr %slot, i64 {{Ring.TICKET}}
  %ticket = load i64, ptr %ticket.at
  %ready.at = getelementptr i8, ptr %slot, i64 {{Ring.READY}}
  store atomic i64 %ticket, ptr %ready.at release, align 8
  ret void
}

; ---- signals ---------------------------------------------------------------------------------

define internal ptr @this_env() nounwind {
  %key = load i32, ptr @rt_key
  %get = load ptr, ptr @host_getspecific
  %env = call ptr %get(i32 %key)
  ret ptr %env
}

; Have guest code, or a system call that was about to be made, stop at its next look.
define internal void @interrupt(ptr %env, ptr %context) nounwind {
  %event.at = getelementptr i8, ptr %env, i64 {{event}}
  store atomic i32 1, ptr %event.at seq_cst, align 4
  %pc.at = getelementptr i8, ptr %context, i64 {{Context.RIP}}
  %pc = load i64, ptr %pc.at
  %in = sub i64 %pc, ptrtoint (ptr @rt_syscall_begin to i64)
  %is_in = icmp ult i64 %in, sub (i64 ptrtoint (ptr @rt_syscall_end to i64), i64 ptrtoint (ptr @rt_syscall_begin to i64))
  br i1 %is_in, label %undo, label %done
undo:
  store ptr @rt_syscall_undone, ptr %pc.at
  br label %done
done:
  ret void
}

; Another thread wants this one to look at its event word.
define void @on_kick(i32 %signo, ptr %info, ptr %context) nounwind {
  %env = call ptr @this_env()
  %is_none = icmp eq ptr %env, null
  br i1 %is_none, label %done, label %go
go:
  call void @interrupt(ptr %env, ptr %context)
  br label %done
done:
  ret void
}

; A signal for the guest: keep it in the ring, stop the thread it reached.  That thread gets no other
; signals (but the faults' own) until Python has dealt with this one and sets its mask again.
define void @on_signal(i32 %signo, ptr %info, ptr %context) nounwind {
  %own = call ptr @this_env()
  %is_none = icmp eq ptr %own, null
  %main = load ptr, ptr @rt_main_env
  %env = select i1 %is_none, ptr %main, ptr %own
  %ring = load ptr, ptr @rt_signal_ring
  %bit = sub i32 %signo, 1
  %wide = zext i32 %bit to i64
  %loss = shl i64 1, %wide
  %slot = call ptr @reserve(ptr %ring, i64 %loss)
  %is_lost = icmp eq ptr %slot, null
  br i1 %is_lost, label %tell, label %keep
keep:
  %env.at = getelementptr i8, ptr %slot, i64 {{Ring.ENV}}
  store ptr %env, ptr %env.at
  %info.at = getelementptr i8, ptr %slot, i64 {{Ring.INFO}}
  call void @llvm.memcpy.inline.p0.p0.i64(ptr %info.at, ptr %info, i64 {{Ring.INFO_BYTES}}, i1 false)
  call void @commit(ptr %slot)
  br label %tell
tell:
  %nobody = icmp eq ptr %env, null
  br i1 %nobody, label %done, label %go
go:
  call void @interrupt(ptr %env, ptr %context)
  br i1 %is_none, label %done, label %block
block:
  %mask.at = getelementptr i8, ptr %context, i64 {{Context.MASK}}
  store i64 {{BLOCKED_BY_SIGNAL}}, ptr %mask.at
  br label %done
done:
  ret void
}
declare void @llvm.memcpy.inline.p0.p0.i64(ptr, ptr, i64, i1)

; SIGSEGV and SIGBUS: a write to a page of translated code, a fault of the guest's, a signal that
; somebody sent, or the end of us.
define void @on_fault(i32 %signo, ptr %info, ptr %context) nounwind {
  %code.at = getelementptr i8, ptr %info, i64 {{Info.CODE}}
  %code = load i32, ptr %code.at
  %is_sent = icmp sle i32 %code, 0
  br i1 %is_sent, label %sent, label %own
sent:
  tail call void @on_signal(i32 %signo, ptr %info, ptr %context)
  ret void

own:
  %env = call ptr @this_env()
  %is_none = icmp eq ptr %env, null
  br i1 %is_none, label %die, label %look
look:
  %address.at = getelementptr i8, ptr %info, i64 {{Info.ADDRESS}}
  %address = load i64, ptr %address.at
  %base.at = getelementptr i8, ptr %env, i64 {{base}}
  %base = load i64, ptr %base.at
  %guest = sub i64 %address, %base
  %error.at = getelementptr i8, ptr %context, i64 {{Context.ERROR}}
  %error = load i64, ptr %error.at
  %write.bit = and i64 %error, 2
  %is_write = icmp ne i64 %write.bit, 0
  %what = call i32 @is_code_write(ptr %env, i64 %guest, i1 %is_write, i32 %code)
  switch i32 %what, label %real [ i32 1, label %done
                                  i32 2, label %fault ]

real:
  %in_guest.at = getelementptr i8, ptr %env, i64 {{in_guest}}
  %in_guest = load i32, ptr %in_guest.at
  %outside = icmp eq i32 %in_guest, 0
  %limit.at = getelementptr i8, ptr %env, i64 {{guest_limit}}
  %limit = load i64, ptr %limit.at
  %reach = add i64 %limit, {{2 * GUARD_BYTES}}
  %above = add i64 %guest, {{GUARD_BYTES}}
  %too_far = icmp uge i64 %above, %reach
  ; Of what is not aligned the host does not say where it is (#GP).
  %is_somewhere = icmp ne i32 %code, {{SI_KERNEL}}
  %is_far = and i1 %too_far, %is_somewhere
  %is_ours = or i1 %outside, %is_far
  br i1 %is_ours, label %die, label %fault

fault:
  %why = phi i32 [ {{Reason.CODE_WRITE}}, %look ], [ {{Reason.FAULT}}, %real ]
  %fault.address.at = getelementptr i8, ptr %env, i64 {{fault_address}}
  store i64 %guest, ptr %fault.address.at
  %fault.code.at = getelementptr i8, ptr %env, i64 {{fault_code}}
  store i32 %code, ptr %fault.code.at
  %fault.signal.at = getelementptr i8, ptr %env, i64 {{fault_signal}}
  store i32 %signo, ptr %fault.signal.at
  %write = zext i1 %is_write to i32
  %fault.write.at = getelementptr i8, ptr %env, i64 {{fault_write}}
  store i32 %write, ptr %fault.write.at
  %pc.at = getelementptr i8, ptr %context, i64 {{Context.RIP}}
  %pc = load i64, ptr %pc.at
  %host_pc.at = getelementptr i8, ptr %env, i64 {{host_pc}}
  store i64 %pc, ptr %host_pc.at
  %reason.at = getelementptr i8, ptr %env, i64 {{exit_reason}}
  store i32 %why, ptr %reason.at
  ; The handler returns to rt_leave: unlike siglongjmp, this keeps MXCSR and the signal mask.
  store ptr @rt_leave, ptr %pc.at
  %stack.at = getelementptr i8, ptr %env, i64 {{host_stack}}
  %stack = load i64, ptr %stack.at
  %sp.at = getelementptr i8, ptr %context, i64 {{Context.RSP}}
  store i64 %stack, ptr %sp.at
  ; What compiled code had on the x87 stack is gone: the stack is empty outside of it.
  %floats.at = getelementptr i8, ptr %context, i64 {{Context.FLOATS}}
  %floats = load ptr, ptr %floats.at
  %tags.at = getelementptr i8, ptr %floats, i64 {{Floats.TAGS}}
  store i16 0, ptr %tags.at
  %status.at = getelementptr i8, ptr %floats, i64 {{Floats.STATUS}}
  %status = load i16, ptr %status.at
  %at.top = and i16 %status, {{~Floats.TOP}}
  store i16 %at.top, ptr %status.at
  br label %done

die:
  call void @last_words(ptr %info, ptr %context)
  %reset = load ptr, ptr @host_signal
  %old = call ptr %reset(i32 %signo, ptr null)
  br label %done
done:
  ret void
}

; What a fault is that may be a write to a page which was protected for its code: 0 not that, 1 the
; access need only be tried again, 2 guest code must be left before it.
define internal i32 @is_code_write(ptr %env, i64 %guest, i1 %is_write, i32 %code) nounwind {
  %limit.at = getelementptr i8, ptr %env, i64 {{guest_limit}}
  %limit = load i64, ptr %limit.at
  %inside = icmp ult i64 %guest, %limit
  %denied = icmp eq i32 %code, {{SEGV_ACCERR}}
  %write = and i1 %is_write, %denied
  %may_be = and i1 %inside, %write
  br i1 %may_be, label %allowed, label %no
allowed:
  %access.at = getelementptr i8, ptr %env, i64 {{page_access}}
  %access.table = load ptr, ptr %access.at
  %has_table = icmp ne ptr %access.table, null
  br i1 %has_table, label %look, label %no
look:
  %page = lshr i64 %guest, 12
  %access.byte = getelementptr i8, ptr %access.table, i64 %page
  %access = load atomic i8, ptr %access.byte seq_cst, align 1
  %write.bit = and i8 %access, {{PROT_WRITE}}
  %is_allowed = icmp ne i8 %write.bit, 0
  br i1 %is_allowed, label %ours, label %no

ours:
  ; The guest may write there, so the host's protection is for code, or was just now.
  %flags.at = getelementptr i8, ptr %env, i64 {{page_flags}}
  %flags.table = load ptr, ptr %flags.at
  %flags.byte = getelementptr i8, ptr %flags.table, i64 %page
  %flags = load atomic i8, ptr %flags.byte seq_cst, align 1
  %is_watched = icmp ne i8 %flags, 0
  %retries.at = getelementptr i8, ptr %env, i64 {{write_retries}}
  br i1 %is_watched, label %watched, label %retry

watched:
  ; Where the state is exact, a guest that notices stores into its code leaves before the store.
  %notices = load i32, ptr @rt_notices
  %is_noticed = icmp ne i32 %notices, 0
  %in.at = getelementptr i8, ptr %env, i64 {{in_guest}}
  %in = load i32, ptr %in.at
  %is_in = icmp ne i32 %in, 0
  %record.at = getelementptr i8, ptr %env, i64 {{current_rec}}
  %record = load i64, ptr %record.at
  %is_exact = icmp ne i64 %record, 0
  %both = and i1 %is_noticed, %is_in
  %leaves = and i1 %both, %is_exact
  br i1 %leaves, label %leave, label %open
leave:
  ret i32 2

open:
  %base.at = getelementptr i8, ptr %env, i64 {{base}}
  %base = load i64, ptr %base.at
  %start = and i64 %guest, -4096
  %host = add i64 %base, %start
  %status = call i64 asm sideeffect "syscall", "={rax},{rax},{rdi},{rsi},{rdx},~{rcx},~{r11},~{memory},~{flags}"(i64 {{SYS_mprotect}}, i64 %host, i64 4096, i64 3)
  ; Dirty only now: whoever sees it clear may protect the page again, and is then told again.
  %old = atomicrmw or ptr %flags.byte, i8 {{PAGE_DIRTY}} seq_cst
  %event.at = getelementptr i8, ptr %env, i64 {{event}}
  store atomic i32 1, ptr %event.at seq_cst, align 4
  store i64 0, ptr %retries.at
  %is_open = icmp eq i64 %status, 0
  %opened = zext i1 %is_open to i32
  ret i32 %opened

retry:
  ; Another thread is opening the page: let it.  The count ends this should we be wrong.
  %retries = load i64, ptr %retries.at
  %more = add i64 %retries, 1
  store i64 %more, ptr %retries.at
  %nothing = call i64 asm sideeffect "syscall", "={rax},{rax},~{rcx},~{r11},~{memory},~{flags}"(i64 {{SYS_sched_yield}})
  %patient = icmp ult i64 %more, {{WRITE_RETRIES}}
  br i1 %patient, label %yes, label %give_up
give_up:
  store i64 0, ptr %retries.at
  ret i32 0
yes:
  ret i32 1
no:
  ret i32 0
}

; ---- a crash of our own ----------------------------------------------------------------------

@words = internal global [72 x i8] c"qemupy: internal error: crash at 0x0000000000000000 (0x0000000000000000)", align 16
@newline = internal constant [1 x i8] c"\0A"

define internal void @last_words(ptr %info, ptr %context) nounwind {
  %pc.at = getelementptr i8, ptr %context, i64 {{Context.RIP}}
  %pc = load i64, ptr %pc.at
  call void @put_hex(ptr getelementptr (i8, ptr @words, i64 35), i64 %pc)
  %address.at = getelementptr i8, ptr %info, i64 {{Info.ADDRESS}}
  %address = load i64, ptr %address.at
  call void @put_hex(ptr getelementptr (i8, ptr @words, i64 55), i64 %address)
  call void @say(ptr @words, i64 72)
  call void @say(ptr @newline, i64 1)
  ret void
}

define internal void @say(ptr %text, i64 %size) nounwind {
  %n = call i64 asm sideeffect "syscall", "={rax},{rax},{rdi},{rsi},{rdx},~{rcx},~{r11},~{memory},~{flags}"(i64 {{SYS_write}}, i64 2, ptr %text, i64 %size)
  ret void
}

; Write 16 hexadecimal digits.
define internal void @put_hex(ptr %to, i64 %value) nounwind {
start:
  br label %loop
loop:
  %i = phi i64 [ 15, %start ], [ %before, %loop ]
  %left = phi i64 [ %value, %start ], [ %rest, %loop ]
  %digit = and i64 %left, 15
  %is_letter = icmp ugt i64 %digit, 9
  %from = select i1 %is_letter, i64 87, i64 48
  %code = add i64 %digit, %from
  %byte = trunc i64 %code to i8
  %at = getelementptr i8, ptr %to, i64 %i
  store i8 %byte, ptr %at
  %rest = lshr i64 %left, 4
  %before = sub i64 %i, 1
  %more = icmp ne i64 %i, 0
  br i1 %more, label %loop, label %done
done:
  ret void
}

!0 = !{!"branch_weights", i32 1, i32 2000}
