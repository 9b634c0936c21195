; Arrays of cases (case.py) filled with random values, run on one of our engines, compared.
; Numbers in double braces are offsets, from case.py and tcg/state.py.

; What fills one part of a case, as batch.py packs it.
;           offset count stride width pool mask share add index scale
%filler = type { i32, i32, i32, i32, ptr, i64, i64, i64, i32, i32 }

define internal i64 @random(ptr %state) alwaysinline {
  ; splitmix64
  %old = load i64, ptr %state
  %new = add i64 %old, -7046029254386353131
  store i64 %new, ptr %state
  %a1 = lshr i64 %new, 30
  %a2 = xor i64 %new, %a1
  %a3 = mul i64 %a2, -4658895280553007687
  %b1 = lshr i64 %a3, 27
  %b2 = xor i64 %a3, %b1
  %b3 = mul i64 %b2, -7723592293110705685
  %c1 = lshr i64 %b3, 31
  %c2 = xor i64 %b3, %c1
  ret i64 %c2
}

; Fill the words of one part: each from the pool, or in `share` of 256 cases any bits.
define internal void @fill_part(ptr %case, ptr %filler, ptr %state) {
entry:
  %filled = load %filler, ptr %filler
  %offset = extractvalue %filler %filled, 0
  %count = extractvalue %filler %filled, 1
  %stride = extractvalue %filler %filled, 2
  %width = extractvalue %filler %filled, 3
  %pool = extractvalue %filler %filled, 4
  %mask = extractvalue %filler %filled, 5
  %share = extractvalue %filler %filled, 6
  %add = extractvalue %filler %filled, 7
  %index = extractvalue %filler %filled, 8
  %scale = extractvalue %filler %filled, 9
  %start = getelementptr i8, ptr %case, i32 %offset
  %has.index = icmp sge i32 %index, 0
  br i1 %has.index, label %indexed, label %plain
indexed:
  %index.at = getelementptr i8, ptr %case, i32 %index
  %index.value = load i64, ptr %index.at
  %scale.wide = zext i32 %scale to i64
  %index.scaled = shl i64 %index.value, %scale.wide
  br label %plain
plain:
  %less = phi i64 [ 0, %entry ], [ %index.scaled, %indexed ]
  %plus = sub i64 %add, %less
  %width.wide = zext i32 %width to i64
  br label %items
items:
  %i = phi i32 [ 0, %plain ], [ %i.next, %item.done ]
  %item.offset = mul i32 %i, %stride
  %item = getelementptr i8, ptr %start, i32 %item.offset
  %r = call i64 @random(ptr %state)
  %dice = and i64 %r, 255
  %any = icmp ult i64 %dice, %share
  %r.index = lshr i64 %r, 8
  %r.masked = and i64 %r.index, %mask
  %r.words = mul i64 %r.masked, %width.wide
  %chosen = getelementptr i64, ptr %pool, i64 %r.words
  br label %words
words:
  %w = phi i64 [ 0, %items ], [ %w.next, %word.done ]
  br i1 %any, label %word.any, label %word.pool
word.any:
  %bits = call i64 @random(ptr %state)
  br label %word.done
word.pool:
  %word.from = getelementptr i64, ptr %chosen, i64 %w
  %word.found = load i64, ptr %word.from
  br label %word.done
word.done:
  %word = phi i64 [ %bits, %word.any ], [ %word.found, %word.pool ]
  %sum = add i64 %word, %plus
  %word.to = getelementptr i64, ptr %item, i64 %w
  store i64 %sum, ptr %word.to, align 1
  %w.next = add i64 %w, 1
  %w.more = icmp ult i64 %w.next, %width.wide
  br i1 %w.more, label %words, label %item.done
item.done:
  %i.next = add i32 %i, 1
  %i.more = icmp ult i32 %i.next, %count
  br i1 %i.more, label %items, label %done
done:
  ret void
}

define void @batch_fill(ptr %cases, i64 %count, i64 %stride, ptr %model, ptr %fillers, i64 %parts, i64 %seed) {
entry:
  %state = alloca i64
  store i64 %seed, ptr %state
  br label %each
each:
  %i = phi i64 [ 0, %entry ], [ %i.next, %case.done ]
  %offset = mul i64 %i, %stride
  %case = getelementptr i8, ptr %cases, i64 %offset
  call void @llvm.memcpy.p0.p0.i64(ptr %case, ptr %model, i64 %stride, i1 false)
  br label %part
part:
  %p = phi i64 [ 0, %each ], [ %p.next, %part ]
  %filler = getelementptr %filler, ptr %fillers, i64 %p
  call void @fill_part(ptr %case, ptr %filler, ptr %state)
  %p.next = add i64 %p, 1
  %p.more = icmp ult i64 %p.next, %parts
  br i1 %p.more, label %part, label %case.done
case.done:
  %i.next = add i64 %i, 1
  %i.more = icmp ult i64 %i.next, %count
  br i1 %i.more, label %each, label %done
done:
  ret void
}

; The numbers of the cases that differ where the mask is set; stops after `most` of them.
define i64 @batch_compare(ptr %a, ptr %b, i64 %count, i64 %stride, ptr %mask, ptr %found, i64 %most) {
entry:
  %words = lshr i64 %stride, 3
  br label %each
each:
  %i = phi i64 [ 0, %entry ], [ %i.next, %next ]
  %n = phi i64 [ 0, %entry ], [ %n.next, %next ]
  %i.less = icmp ult i64 %i, %count
  br i1 %i.less, label %compare, label %done
compare:
  %offset = mul i64 %i, %stride
  %a.case = getelementptr i8, ptr %a, i64 %offset
  %b.case = getelementptr i8, ptr %b, i64 %offset
  br label %word
word:
  %w = phi i64 [ 0, %compare ], [ %w.next, %word ]
  %all = phi i64 [ 0, %compare ], [ %all.next, %word ]
  %a.at = getelementptr i64, ptr %a.case, i64 %w
  %b.at = getelementptr i64, ptr %b.case, i64 %w
  %m.at = getelementptr i64, ptr %mask, i64 %w
  %a.word = load i64, ptr %a.at
  %b.word = load i64, ptr %b.at
  %m.word = load i64, ptr %m.at
  %diff = xor i64 %a.word, %b.word
  %masked = and i64 %diff, %m.word
  %all.next = or i64 %all, %masked
  %w.next = add i64 %w, 1
  %w.more = icmp ult i64 %w.next, %words
  br i1 %w.more, label %word, label %judge
judge:
  %differs = icmp ne i64 %all.next, 0
  br i1 %differs, label %note, label %next
note:
  %found.at = getelementptr i64, ptr %found, i64 %n
  store i64 %i, ptr %found.at
  %n.more = add i64 %n, 1
  %full = icmp uge i64 %n.more, %most
  br i1 %full, label %done, label %next
next:
  %n.next = phi i64 [ %n, %judge ], [ %n.more, %note ]
  %i.next = add i64 %i, 1
  br label %each
done:
  %result = phi i64 [ %n, %each ], [ %n.more, %note ]
  ret i64 %result
}

; Copies between a case and env: where in each, how many bytes; the last has zero bytes.
%copy = type { i32, i32, i32, i32 }

define internal void @copy_in(ptr %case, ptr %env, ptr %copies) {
entry:
  br label %next
next:
  %i = phi i64 [ 0, %entry ], [ %i.next, %do ]
  %at = getelementptr %copy, ptr %copies, i64 %i
  %one = load %copy, ptr %at
  %size = extractvalue %copy %one, 2
  %more = icmp ne i32 %size, 0
  br i1 %more, label %do, label %done
do:
  %from.offset = extractvalue %copy %one, 0
  %to.offset = extractvalue %copy %one, 1
  %from = getelementptr i8, ptr %case, i32 %from.offset
  %to = getelementptr i8, ptr %env, i32 %to.offset
  %size.wide = zext i32 %size to i64
  call void @llvm.memcpy.p0.p0.i64(ptr %to, ptr %from, i64 %size.wide, i1 false)
  %i.next = add i64 %i, 1
  br label %next
done:
  ret void
}

define internal void @copy_out(ptr %case, ptr %env, ptr %copies) {
entry:
  br label %next
next:
  %i = phi i64 [ 0, %entry ], [ %i.next, %do ]
  %at = getelementptr %copy, ptr %copies, i64 %i
  %one = load %copy, ptr %at
  %size = extractvalue %copy %one, 2
  %more = icmp ne i32 %size, 0
  br i1 %more, label %do, label %done
do:
  %to.offset = extractvalue %copy %one, 0
  %from.offset = extractvalue %copy %one, 1
  %to = getelementptr i8, ptr %case, i32 %to.offset
  %from = getelementptr i8, ptr %env, i32 %from.offset
  %size.wide = zext i32 %size to i64
  call void @llvm.memcpy.p0.p0.i64(ptr %to, ptr %from, i64 %size.wide, i1 false)
  %i.next = add i64 %i, 1
  br label %next
done:
  ret void
}

; Where the flags are in env: a byte each for cf pf af zf sf df of, and eflags.
%flags = type { i32, i32, i32, i32, i32, i32, i32, i32 }

define internal void @bit_in(i64 %value, i64 %bit, ptr %env, i32 %offset) alwaysinline {
  %shifted = lshr i64 %value, %bit
  %one = and i64 %shifted, 1
  %byte = trunc i64 %one to i8
  %to = getelementptr i8, ptr %env, i32 %offset
  store i8 %byte, ptr %to
  ret void
}

define internal i64 @bit_out(i64 %bit, ptr %env, i32 %offset) alwaysinline {
  %from = getelementptr i8, ptr %env, i32 %offset
  %byte = load i8, ptr %from
  %low = and i8 %byte, 1
  %wide = zext i8 %low to i64
  %placed = shl i64 %wide, %bit
  ret i64 %placed
}

define internal void @flags_in(ptr %case, ptr %env, ptr %flags) {
  %where = load %flags, ptr %flags
  %cf = extractvalue %flags %where, 0
  %pf = extractvalue %flags %where, 1
  %af = extractvalue %flags %where, 2
  %zf = extractvalue %flags %where, 3
  %sf = extractvalue %flags %where, 4
  %df = extractvalue %flags %where, 5
  %of = extractvalue %flags %where, 6
  %eflags = extractvalue %flags %where, 7
  %at = getelementptr i8, ptr %case, i32 {{case.RFLAGS}}
  %value = load i64, ptr %at
  call void @bit_in(i64 %value, i64 0, ptr %env, i32 %cf)
  call void @bit_in(i64 %value, i64 6, ptr %env, i32 %zf)
  call void @bit_in(i64 %value, i64 7, ptr %env, i32 %sf)
  call void @bit_in(i64 %value, i64 10, ptr %env, i32 %df)
  call void @bit_in(i64 %value, i64 11, ptr %env, i32 %of)
  %odd = xor i64 %value, 4
  call void @bit_in(i64 %odd, i64 2, ptr %env, i32 %pf)
  %byte = trunc i64 %value to i8
  %adjust = and i8 %byte, 16
  %af.at = getelementptr i8, ptr %env, i32 %af
  store i8 %adjust, ptr %af.at
  %others = and i64 %value, {{OTHER_FLAGS}}
  %others.word = trunc i64 %others to i32
  %eflags.at = getelementptr i8, ptr %env, i32 %eflags
  store i32 %others.word, ptr %eflags.at
  ret void
}

define internal void @flags_out(ptr %case, ptr %env, ptr %flags) {
  %where = load %flags, ptr %flags
  %cf = extractvalue %flags %where, 0
  %pf = extractvalue %flags %where, 1
  %af = extractvalue %flags %where, 2
  %zf = extractvalue %flags %where, 3
  %sf = extractvalue %flags %where, 4
  %df = extractvalue %flags %where, 5
  %of = extractvalue %flags %where, 6
  %eflags = extractvalue %flags %where, 7
  %cf.bit = call i64 @bit_out(i64 0, ptr %env, i32 %cf)
  %zf.bit = call i64 @bit_out(i64 6, ptr %env, i32 %zf)
  %sf.bit = call i64 @bit_out(i64 7, ptr %env, i32 %sf)
  %df.bit = call i64 @bit_out(i64 10, ptr %env, i32 %df)
  %of.bit = call i64 @bit_out(i64 11, ptr %env, i32 %of)
  %pf.at = getelementptr i8, ptr %env, i32 %pf
  %pf.byte = load i8, ptr %pf.at
  %ones = call i8 @llvm.ctpop.i8(i8 %pf.byte)
  %odd = and i8 %ones, 1
  %even = xor i8 %odd, 1
  %even.wide = zext i8 %even to i64
  %pf.bit = shl i64 %even.wide, 2
  %af.at = getelementptr i8, ptr %env, i32 %af
  %af.byte = load i8, ptr %af.at
  %af.only = and i8 %af.byte, 16
  %af.bit = zext i8 %af.only to i64
  %eflags.at = getelementptr i8, ptr %env, i32 %eflags
  %eflags.word = load i32, ptr %eflags.at
  %eflags.kept = and i32 %eflags.word, {{OTHER_FLAGS}}
  %eflags.wide = zext i32 %eflags.kept to i64
  %s1 = or i64 %cf.bit, 2
  %s2 = or i64 %s1, %zf.bit
  %s3 = or i64 %s2, %sf.bit
  %s4 = or i64 %s3, %df.bit
  %s5 = or i64 %s4, %of.bit
  %s6 = or i64 %s5, %pf.bit
  %s7 = or i64 %s6, %af.bit
  %s8 = or i64 %s7, %eflags.wide
  %at = getelementptr i8, ptr %case, i32 {{case.RFLAGS}}
  store i64 %s8, ptr %at
  ret void
}

; batch_run(job, first, count): run cases [first, count) from a record on.  Gives the number of the
; case that left for something that only Python can do, or `count`.
;
; job: env, record, enter, before, after, stride, window, window size, copies, flags, x87, signals,
;      pc, reach
; `x87`: where its registers are in env, or null; `signals`: a signal and a trap number, 32 bits
; each, for every GuestException; `reach`: the bits that an address has.
%job = type { ptr, ptr, ptr, ptr, ptr, i64, ptr, i64, ptr, ptr, ptr, ptr, i64, i64 }

; Put case `i` into env and memory.
define void @batch_load(ptr %job.at, i64 %i) {
entry:
  %job = load %job, ptr %job.at
  %env = extractvalue %job %job, 0
  %before = extractvalue %job %job, 3
  %stride = extractvalue %job %job, 5
  %window = extractvalue %job %job, 6
  %window.size = extractvalue %job %job, 7
  %copies = extractvalue %job %job, 8
  %flags = extractvalue %job %job, 9
  %x87 = extractvalue %job %job, 10
  %offset = mul i64 %i, %stride
  %case = getelementptr i8, ptr %before, i64 %offset
  %memory = getelementptr i8, ptr %case, i64 {{case.WINDOW}}
  call void @llvm.memcpy.p0.p0.i64(ptr %window, ptr %memory, i64 %window.size, i1 false)
  call void @copy_in(ptr %case, ptr %env, ptr %copies)
  call void @flags_in(ptr %case, ptr %env, ptr %flags)
  %has.x87 = icmp ne ptr %x87, null
  br i1 %has.x87, label %do.x87, label %done
do.x87:
  call void @fpu_in(ptr %case, ptr %env, ptr %x87)
  br label %done
done:
  ret void
}

define i64 @batch_run(ptr %job.at, i64 %first, i64 %count) {
entry:
  %job = load %job, ptr %job.at
  %env = extractvalue %job %job, 0
  %record = extractvalue %job %job, 1
  %enter = extractvalue %job %job, 2
  %event.at = getelementptr i8, ptr %env, i64 {{event}}
  br label %each
each:
  %i = phi i64 [ %first, %entry ], [ %i.next, %finished ]
  %i.less = icmp ult i64 %i, %count
  br i1 %i.less, label %run, label %done
run:
  call void @batch_load(ptr %job.at, i64 %i)
  %reason = call i32 %enter(ptr %env, ptr %record)
  %event = load i32, ptr %event.at
  %is.quiet = icmp eq i32 %event, 0
  %reason.after = sub i32 %reason, {{Reason.ASK}}
  %is.final = icmp ule i32 %reason.after, 2  ; ASK, EXCEPTION, FAULT
  %is.good = and i1 %is.quiet, %is.final
  br i1 %is.good, label %finished, label %done
finished:
  call void @batch_finish(ptr %job.at, i64 %i)
  %i.next = add i64 %i, 1
  br label %each
done:
  ret i64 %i
}

; Note what has become of case `i`, in the words of the host: see host.s.  DETAIL is the record that
; knows the pc (exit_rec or, of a fault, current_rec), which is taken to be the job's.
define void @batch_finish(ptr %job.at, i64 %i) {
entry:
  %job = load %job, ptr %job.at
  %env = extractvalue %job %job, 0
  %after = extractvalue %job %job, 4
  %stride = extractvalue %job %job, 5
  %window = extractvalue %job %job, 6
  %window.size = extractvalue %job %job, 7
  %copies = extractvalue %job %job, 8
  %flags = extractvalue %job %job, 9
  %x87 = extractvalue %job %job, 10
  %signals = extractvalue %job %job, 11
  %start.pc = extractvalue %job %job, 12
  %reach = extractvalue %job %job, 13
  %offset = mul i64 %i, %stride
  %case = getelementptr i8, ptr %after, i64 %offset
  %memory = getelementptr i8, ptr %case, i64 {{case.WINDOW}}
  call void @llvm.memcpy.p0.p0.i64(ptr %memory, ptr %window, i64 %window.size, i1 false)
  call void @copy_out(ptr %case, ptr %env, ptr %copies)
  call void @flags_out(ptr %case, ptr %env, ptr %flags)
  %has.x87 = icmp ne ptr %x87, null
  br i1 %has.x87, label %do.x87, label %note
do.x87:
  call void @fpu_out(ptr %case, ptr %env, ptr %x87)
  br label %note
note:
  %reason.at = getelementptr i8, ptr %env, i64 {{exit_reason}}
  %reason = load i32, ptr %reason.at
  %ended.at = getelementptr i8, ptr %case, i64 {{case.ENDED}}
  %exit.at = getelementptr i8, ptr %case, i64 {{case.EXIT}}
  %address.at = getelementptr i8, ptr %case, i64 {{case.ADDRESS}}
  %detail.at = getelementptr i8, ptr %case, i64 {{case.DETAIL}}
  %pc.at = getelementptr i8, ptr %case, i64 {{case.PC}}
  %info.at = getelementptr i8, ptr %env, i64 {{exit_info}}
  %info = load i64, ptr %info.at
  %left.at = getelementptr i8, ptr %env, i64 {{exit_pc}}
  %left.pc = load i64, ptr %left.at
  %record.at = getelementptr i8, ptr %env, i64 {{exit_rec}}
  %record = load i64, ptr %record.at
  store i64 0, ptr %address.at
  switch i32 %reason, label %asked [ i32 {{Reason.FAULT}}, label %fault
                                     i32 {{Reason.EXCEPTION}}, label %exception ]
fault:
  %address.from = getelementptr i8, ptr %env, i64 {{fault_address}}
  %address = load i64, ptr %address.from
  %address.reached = and i64 %address, %reach
  %code.from = getelementptr i8, ptr %env, i64 {{fault_code}}
  %code = load i32, ptr %code.from
  %is.misaligned = icmp eq i32 %code, {{NO_ADDRESS}}
  %address.told = select i1 %is.misaligned, i64 0, i64 %address.reached
  store i64 %address.told, ptr %address.at
  %signal.from = getelementptr i8, ptr %env, i64 {{fault_signal}}
  %signal = load i32, ptr %signal.from
  store i32 %signal, ptr %ended.at
  %fault.trap = select i1 %is.misaligned, i32 13, i32 14
  store i32 %fault.trap, ptr %exit.at
  %current.from = getelementptr i8, ptr %env, i64 {{current_rec}}
  %current = load i64, ptr %current.from
  store i64 %current, ptr %detail.at
  store i64 %start.pc, ptr %pc.at
  ret void
exception:
  %number.at = getelementptr [2 x i32], ptr %signals, i64 %info
  %number = load i32, ptr %number.at
  %trap.at = getelementptr i32, ptr %number.at, i64 1
  %trap = load i32, ptr %trap.at
  store i32 %number, ptr %ended.at
  store i32 %trap, ptr %exit.at
  store i64 %record, ptr %detail.at
  %by.record = icmp ne i64 %record, 0
  %exception.pc = select i1 %by.record, i64 %start.pc, i64 %left.pc
  store i64 %exception.pc, ptr %pc.at
  ret void
asked:
  ; int 0x80 stands at the exits, and leaves behind itself; what else is asked is no exit yet
  store i32 0, ptr %ended.at
  store i32 0, ptr %exit.at
  %is.exit = icmp ule i64 %info, 1
  %behind = select i1 %is.exit, i64 2, i64 0
  %exit.pc = sub i64 %left.pc, %behind
  store i64 %exit.pc, ptr %pc.at
  store i64 %info, ptr %detail.at
  ret void
}

; Where the FPU is in env: registers, fpu_top, fpu_cw, fpu_full, fpu_traps, fpu_c0 to c3, fpu_sf; and
; mxcsr_enabled, the exceptions that are not masked.
%fpu = type { i32, i32, i32, i32, i32, i32, i32, i32, i32, i32, i32 }

define internal void @fpu_in(ptr %case, ptr %env, ptr %x87) {
entry:
  %where = load %fpu, ptr %x87
  %fpr = extractvalue %fpu %where, 0
  %top = extractvalue %fpu %where, 1
  %cw = extractvalue %fpu %where, 2
  %full = extractvalue %fpu %where, 3
  %traps = extractvalue %fpu %where, 4
  %c0 = extractvalue %fpu %where, 5
  %c1 = extractvalue %fpu %where, 6
  %c2 = extractvalue %fpu %where, 7
  %c3 = extractvalue %fpu %where, 8
  %sf = extractvalue %fpu %where, 9
  %enables = extractvalue %fpu %where, 10
  %mxcsr.from = getelementptr i8, ptr %case, i32 {{case.MXCSR}}
  %mxcsr = load i32, ptr %mxcsr.from
  %mxcsr.masked = or i32 %mxcsr, 8064
  %mxcsr.to = getelementptr i8, ptr %env, i32 {{mxcsr}}
  store i32 %mxcsr.masked, ptr %mxcsr.to
  %mxcsr.shifted = lshr i32 %mxcsr, 7
  %mxcsr.not = xor i32 %mxcsr.shifted, -1
  %mxcsr.enabled = and i32 %mxcsr.not, 63
  %enables.to = getelementptr i8, ptr %env, i32 %enables
  store i32 %mxcsr.enabled, ptr %enables.to
  %fcw.at = getelementptr i8, ptr %case, i32 {{case.FCW}}
  %fcw.given = load i16, ptr %fcw.at
  %fcw.legal = and i16 %fcw.given, 7999
  %fcw = or i16 %fcw.legal, 64
  %cw.at = getelementptr i8, ptr %env, i32 %cw
  store i16 %fcw, ptr %cw.at
  %fcw.not = xor i16 %fcw, -1
  %enabled = and i16 %fcw.not, 63
  %has.enabled = icmp ne i16 %enabled, 0
  %traps.byte = zext i1 %has.enabled to i8
  %traps.at = getelementptr i8, ptr %env, i32 %traps
  store i8 %traps.byte, ptr %traps.at
  %fcw.masked = or i16 %fcw, 127
  %fcw.wide = zext i16 %fcw.masked to i32
  %control.at = getelementptr i8, ptr %env, i32 {{x87_control}}
  store i32 %fcw.wide, ptr %control.at
  %fsw.at = getelementptr i8, ptr %case, i32 {{case.FSW}}
  %fsw = load i16, ptr %fsw.at
  %fsw.wide = zext i16 %fsw to i32
  %fsw.word = zext i16 %fsw to i64
  %sticky = and i32 %fsw.wide, 63
  %status.at = getelementptr i8, ptr %env, i32 {{x87_status}}
  store i32 %sticky, ptr %status.at
  %top.shifted = lshr i32 %fsw.wide, 11
  %first = and i32 %top.shifted, 7
  %top.at = getelementptr i8, ptr %env, i32 %top
  store i32 %first, ptr %top.at
  call void @bit_in(i64 %fsw.word, i64 8, ptr %env, i32 %c0)
  call void @bit_in(i64 %fsw.word, i64 9, ptr %env, i32 %c1)
  call void @bit_in(i64 %fsw.word, i64 10, ptr %env, i32 %c2)
  call void @bit_in(i64 %fsw.word, i64 14, ptr %env, i32 %c3)
  call void @bit_in(i64 %fsw.word, i64 6, ptr %env, i32 %sf)
  %ftw.at = getelementptr i8, ptr %case, i32 {{case.FTW}}
  %ftw = load i8, ptr %ftw.at
  %full.at = getelementptr i8, ptr %env, i32 %full
  store i8 %ftw, ptr %full.at
  br label %each
each:
  %i = phi i32 [ 0, %entry ], [ %i.next, %each ]
  %turned = add i32 %first, %i
  %number = and i32 %turned, 7
  %to.offset = mul i32 %number, 16
  %to.from = add i32 %to.offset, %fpr
  %to = getelementptr i8, ptr %env, i32 %to.from
  %from.offset = mul i32 %i, 16
  %from.from = add i32 %from.offset, {{case.ST}}
  %from = getelementptr i8, ptr %case, i32 %from.from
  call void @llvm.memcpy.p0.p0.i64(ptr %to, ptr %from, i64 10, i1 false)
  %i.next = add i32 %i, 1
  %more = icmp ult i32 %i.next, 8
  br i1 %more, label %each, label %done
done:
  ret void
}

define internal void @fpu_out(ptr %case, ptr %env, ptr %x87) {
entry:
  %where = load %fpu, ptr %x87
  %fpr = extractvalue %fpu %where, 0
  %top = extractvalue %fpu %where, 1
  %cw = extractvalue %fpu %where, 2
  %full = extractvalue %fpu %where, 3
  %traps = extractvalue %fpu %where, 4
  %c0 = extractvalue %fpu %where, 5
  %c1 = extractvalue %fpu %where, 6
  %c2 = extractvalue %fpu %where, 7
  %c3 = extractvalue %fpu %where, 8
  %sf = extractvalue %fpu %where, 9
  %enables = extractvalue %fpu %where, 10
  %mxcsr.from = getelementptr i8, ptr %env, i32 {{mxcsr}}
  %mxcsr = load i32, ptr %mxcsr.from
  %mxcsr.bare = and i32 %mxcsr, -8065
  %enables.from = getelementptr i8, ptr %env, i32 %enables
  %enabled = load i32, ptr %enables.from
  %mxcsr.masks = xor i32 %enabled, 63
  %mxcsr.shifted = shl i32 %mxcsr.masks, 7
  %mxcsr.whole = or i32 %mxcsr.bare, %mxcsr.shifted
  %mxcsr.to = getelementptr i8, ptr %case, i32 {{case.MXCSR}}
  store i32 %mxcsr.whole, ptr %mxcsr.to
  %cw.at = getelementptr i8, ptr %env, i32 %cw
  %fcw = load i16, ptr %cw.at
  %fcw.at = getelementptr i8, ptr %case, i32 {{case.FCW}}
  store i16 %fcw, ptr %fcw.at
  %status.at = getelementptr i8, ptr %env, i32 {{x87_status}}
  %status = load i32, ptr %status.at
  %sticky32 = and i32 %status, 63
  %sticky = zext i32 %sticky32 to i64
  %top.at = getelementptr i8, ptr %env, i32 %top
  %top.value = load i32, ptr %top.at
  %first = and i32 %top.value, 7
  %first.wide = zext i32 %first to i64
  %top.bits = shl i64 %first.wide, 11
  %s0 = or i64 %sticky, %top.bits
  %c0.bit = call i64 @bit_out(i64 8, ptr %env, i32 %c0)
  %s1 = or i64 %s0, %c0.bit
  %c1.bit = call i64 @bit_out(i64 9, ptr %env, i32 %c1)
  %s2 = or i64 %s1, %c1.bit
  %c2.bit = call i64 @bit_out(i64 10, ptr %env, i32 %c2)
  %s3 = or i64 %s2, %c2.bit
  %c3.bit = call i64 @bit_out(i64 14, ptr %env, i32 %c3)
  %s4 = or i64 %s3, %c3.bit
  %sf.bit = call i64 @bit_out(i64 6, ptr %env, i32 %sf)
  %s5 = or i64 %s4, %sf.bit
  %fcw.wide = zext i16 %fcw to i64
  %unmasked = xor i64 %fcw.wide, -1
  %pending = and i64 %sticky, %unmasked
  %is.pending = icmp ne i64 %pending, 0
  %summary = select i1 %is.pending, i64 32896, i64 0
  %s6 = or i64 %s5, %summary
  %fsw = trunc i64 %s6 to i16
  %fsw.at = getelementptr i8, ptr %case, i32 {{case.FSW}}
  store i16 %fsw, ptr %fsw.at
  %full.at = getelementptr i8, ptr %env, i32 %full
  %full.byte = load i8, ptr %full.at
  %ftw.at = getelementptr i8, ptr %case, i32 {{case.FTW}}
  store i8 %full.byte, ptr %ftw.at
  br label %each
each:
  %i = phi i32 [ 0, %entry ], [ %i.next, %each ]
  %turned = add i32 %first, %i
  %number = and i32 %turned, 7
  %from.offset = mul i32 %number, 16
  %from.from = add i32 %from.offset, %fpr
  %from = getelementptr i8, ptr %env, i32 %from.from
  %to.offset = mul i32 %i, 16
  %to.from = add i32 %to.offset, {{case.ST}}
  %to = getelementptr i8, ptr %case, i32 %to.from
  call void @llvm.memcpy.p0.p0.i64(ptr %to, ptr %from, i64 10, i1 false)
  %i.next = add i32 %i, 1
  %more = icmp ult i32 %i.next, 8
  br i1 %more, label %each, label %done
done:
  ret void
}

declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
declare i8 @llvm.ctpop.i8(i8)
