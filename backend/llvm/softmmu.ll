; A whole machine's memory: translation look-aside buffers, their misses, device accesses, and how
; code is found by its physical address.
;
; There is a TLB for each privilege (header.mmu_index), one after the other at header.tlbs; that in
; force is header.base, which compiled code has in %base.  A TLB is
;
;     1024 entries   { i64 read, i64 write, ptr addend, i64 physical }   by linear page
;     256 entries    { i64 fetch, i64 physical }                         by linear page
;
; A tag is the linear page if the access may be done at addend + address, the page + 1 if it is
; allowed but has to be done here (a device, a page that code was translated from), -1 if not known.
;
; Accesses that compiled code cannot do itself come to mmu_read and mmu_write.  Up to 32 bytes go
; through header.bounce.

declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)
declare void @llvm.memmove.p0.p0.i64(ptr, ptr, i64, i1)

@mmu_walk     = hidden global ptr null    ; the guest's page walk
@mmu_on_read  = hidden global ptr null    ; i64 (i64 physical, i32 size): a device is read
@mmu_on_write = hidden global ptr null    ; void (i64 physical, i64 value, i32 size)

; ---- the miss -------------------------------------------------------------------------------

; Where the map says that a physical page is on the host, with flags; 0 for devices.
define internal i64 @mmu_entry(ptr %env, i64 %physical) nounwind {
  %is_high = icmp uge i64 %physical, {{PHYSICAL_LIMIT}}
  br i1 %is_high, label %nothing, label %look
look:
  %map.at = getelementptr i8, ptr %env, i64 {{physical_map}}
  %map = load ptr, ptr %map.at
  %page = lshr i64 %physical, 12
  %entry.at = getelementptr i64, ptr %map, i64 %page
  %entry = load i64, ptr %entry.at
  ret i64 %entry
nothing:
  ret i64 0
}

; Ask the page walk: 1 if it allows the access.  If not, header.mmu_status is set, and the fault.
define internal i1 @mmu_allowed(ptr %env, ptr %tlb, i64 %address, i32 %access) nounwind {
  %tlbs.at = getelementptr i8, ptr %env, i64 {{tlbs}}
  %tlbs = load i64, ptr %tlbs.at
  %this = ptrtoint ptr %tlb to i64
  %distance = sub i64 %this, %tlbs
  %is_user = icmp eq i64 %distance, {{TLB_BYTES}}
  %is_ac = icmp ugt i64 %distance, {{TLB_BYTES}}
  %user = select i1 %is_user, i32 4, i32 0
  %who = select i1 %is_ac, i32 8, i32 %user
  %how = or i32 %access, %who
  %linear.at = getelementptr i8, ptr %env, i64 {{walk_linear}}
  store i64 %address, ptr %linear.at
  %access.at = getelementptr i8, ptr %env, i64 {{walk_access}}
  store i32 %how, ptr %access.at
  %walk = load ptr, ptr @mmu_walk
  call tailcc void %walk(ptr %env, ptr null, ptr %tlb)
  %fault.at = getelementptr i8, ptr %env, i64 {{walk_fault}}
  %fault = load i32, ptr %fault.at
  %is_fault = icmp ne i32 %fault, 0
  br i1 %is_fault, label %no, label %yes
no:
  %status.at = getelementptr i8, ptr %env, i64 {{mmu_status}}
  store i32 {{Mmu.FAULT}}, ptr %status.at
  %where.at = getelementptr i8, ptr %env, i64 {{fault_address}}
  store i64 %address, ptr %where.at
  %code = and i32 %fault, 2147483647
  %code.at = getelementptr i8, ptr %env, i64 {{fault_code}}
  store i32 %code, ptr %code.at
  ret i1 false
yes:
  %size.at = getelementptr i8, ptr %env, i64 {{walk_size}}
  %size = load i32, ptr %size.at
  %is_big = icmp ugt i32 %size, 12
  br i1 %is_big, label %big, label %done
big:
  %pages.at = getelementptr i8, ptr %env, i64 {{walk_pages}}
  store i32 1, ptr %pages.at
  br label %done
done:
  ret i1 true
}

define internal ptr @mmu_line(ptr %tlb, i64 %address) alwaysinline nounwind {
  %number = lshr i64 %address, 12
  %index = and i64 %number, {{TLB_MASK}}
  %line = getelementptr { i64, i64, ptr, i64 }, ptr %tlb, i64 %index
  ret ptr %line
}

; Fill the line of an address; 1 if the access is allowed.
define internal i1 @mmu_fill(ptr %env, ptr %tlb, ptr %line, i64 %address, i32 %access) nounwind {
  %allowed = call i1 @mmu_allowed(ptr %env, ptr %tlb, i64 %address, i32 %access)
  br i1 %allowed, label %fill, label %no
no:
  ret i1 false
fill:
  %page = and i64 %address, -4096
  %slow = or i64 %page, 1
  %physical.at = getelementptr i8, ptr %env, i64 {{walk_physical}}
  %physical.any = load i64, ptr %physical.at
  %physical = and i64 %physical.any, -4096
  %rights.at = getelementptr i8, ptr %env, i64 {{walk_rights}}
  %rights = load i32, ptr %rights.at
  %entry = call i64 @mmu_entry(ptr %env, i64 %physical)

  %readable = and i64 %entry, 1
  %is_readable = icmp ne i64 %readable, 0
  %read.tag = select i1 %is_readable, i64 %page, i64 %slow
  %may.read = and i32 %rights, 1
  %is_read = icmp ne i32 %may.read, 0
  %read = select i1 %is_read, i64 %read.tag, i64 -1
  store i64 %read, ptr %line

  %writable = and i64 %entry, {{WRITABLE | HAS_CODE}}
  %is_plain = icmp eq i64 %writable, 2
  %write.tag = select i1 %is_plain, i64 %page, i64 %slow
  %may.write = and i32 %rights, 2
  %is_write = icmp ne i32 %may.write, 0
  %write = select i1 %is_write, i64 %write.tag, i64 -1
  %write.at = getelementptr i8, ptr %line, i64 8
  store i64 %write, ptr %write.at

  %host = and i64 %entry, -4096
  %addend = sub i64 %host, %page
  %addend.at = getelementptr i8, ptr %line, i64 16
  store i64 %addend, ptr %addend.at
  %line.physical.at = getelementptr i8, ptr %line, i64 24
  store i64 %physical, ptr %line.physical.at
  ret i1 true
}

; Where an access within a page is to be done, with header.mmu_status: PLAIN, or CODE where the page
; has code; null for FAULT, DEVICE (its physical address is in walk_physical) and DROPPED.
define internal ptr @mmu_page(ptr %env, ptr %tlb, i64 %address, i32 %write) nounwind {
  %status.at = getelementptr i8, ptr %env, i64 {{mmu_status}}
  store i32 {{Mmu.PLAIN}}, ptr %status.at
  %line = call ptr @mmu_line(ptr %tlb, i64 %address)
  %which = zext i32 %write to i64
  %tag.at = getelementptr i64, ptr %line, i64 %which
  %page = and i64 %address, -4096
  %slow = or i64 %page, 1
  %tag.0 = load i64, ptr %tag.at
  %known.0 = or i64 %tag.0, 1
  %is_known = icmp eq i64 %known.0, %slow
  br i1 %is_known, label %known, label %miss
miss:
  %allowed = call i1 @mmu_fill(ptr %env, ptr %tlb, ptr %line, i64 %address, i32 %write)
  br i1 %allowed, label %known, label %no
known:
  %tag = load i64, ptr %tag.at
  %addend.at = getelementptr i8, ptr %line, i64 16
  %addend = load i64, ptr %addend.at
  %there = add i64 %addend, %address
  %host = inttoptr i64 %there to ptr
  %is_fast = icmp eq i64 %tag, %page
  br i1 %is_fast, label %plain, label %special
plain:
  ret ptr %host
special:
  %physical.at = getelementptr i8, ptr %line, i64 24
  %physical.page = load i64, ptr %physical.at
  %offset = and i64 %address, 4095
  %physical = or i64 %physical.page, %offset
  %out.at = getelementptr i8, ptr %env, i64 {{walk_physical}}
  store i64 %physical, ptr %out.at
  %entry = call i64 @mmu_entry(ptr %env, i64 %physical)
  %is_write = icmp ne i32 %write, 0
  br i1 %is_write, label %writing, label %device
writing:
  %writable = and i64 %entry, 2
  %is_ram = icmp ne i64 %writable, 0
  br i1 %is_ram, label %ram, label %lost
ram:
  %code = and i64 %entry, 4
  %has_code = icmp ne i64 %code, 0
  br i1 %has_code, label %watched, label %free
free:
  ; It had code when the line was filled.
  store i64 %page, ptr %tag.at
  ret ptr %host
watched:
  store i32 {{Mmu.CODE}}, ptr %status.at
  ret ptr %host
lost:
  %drops = and i64 %entry, 8
  %is_lost = icmp ne i64 %drops, 0
  br i1 %is_lost, label %dropped, label %device
dropped:
  store i32 {{Mmu.DROPPED}}, ptr %status.at
  ret ptr null
device:
  store i32 {{Mmu.DEVICE}}, ptr %status.at
  ret ptr null
no:
  ret ptr null
}

; A write to code leaves its physical address in fault_address and its bytes in fault_code.

; Pages say by chunks of 64 bytes where they have code (header.code_map), and those with data close to
; it by bytes as well (header.code_bytes: pointers to 512 bytes of bits, or null).

; Whether code was translated from what a write of `size` bytes, within a page, would touch.
define internal i1 @mmu_hits_code(ptr %env, i64 %physical, i64 %size) nounwind {
  %map.at = getelementptr i8, ptr %env, i64 {{code_map}}
  %map = load ptr, ptr %map.at
  %page = lshr i64 %physical, 12
  %chunks.at = getelementptr i64, ptr %map, i64 %page
  %chunks = load i64, ptr %chunks.at
  %first.any = lshr i64 %physical, 6
  %first = and i64 %first.any, 63
  %last.byte = add i64 %physical, %size
  %last.within = sub i64 %last.byte, 1
  %last.any = lshr i64 %last.within, 6
  %last = and i64 %last.any, 63
  %from = shl i64 -1, %first
  %beyond = sub i64 63, %last
  %to = lshr i64 -1, %beyond
  %mask = and i64 %from, %to
  %touched = and i64 %chunks, %mask
  %hits = icmp ne i64 %touched, 0
  br i1 %hits, label %closer, label %no
closer:
  %bytes.at = getelementptr i8, ptr %env, i64 {{code_bytes}}
  %bytes = load ptr, ptr %bytes.at
  %bits.at = getelementptr ptr, ptr %bytes, i64 %page
  %bits = load ptr, ptr %bits.at
  %is_coarse = icmp eq ptr %bits, null
  br i1 %is_coarse, label %yes, label %start
start:
  %offset = and i64 %physical, 4095
  %end = add i64 %offset, %size
  br label %loop
loop:
  %at = phi i64 [ %offset, %start ], [ %next, %free ]
  %group = lshr i64 %at, 3
  %byte.at = getelementptr i8, ptr %bits, i64 %group
  %byte = load i8, ptr %byte.at
  %low = trunc i64 %at to i8
  %within = and i8 %low, 7
  %shifted = lshr i8 %byte, %within
  %is_code = trunc i8 %shifted to i1
  br i1 %is_code, label %yes, label %free
free:
  %next = add i64 %at, 1
  %more = icmp ult i64 %next, %end
  br i1 %more, label %loop, label %no
yes:
  ret i1 true
no:
  ret i1 false
}

; ---- devices ------------------------------------------------------------------------------------

; Read a device into memory, eight bytes at a time.
define internal void @mmu_from_device(ptr %to, i64 %physical, i64 %size) nounwind {
  br label %loop
loop:
  %at = phi i64 [ 0, %0 ], [ %next, %store.it ]
  %left = sub i64 %size, %at
  %is_over = icmp eq i64 %left, 0
  br i1 %is_over, label %done, label %one
one:
  %is_more = icmp ugt i64 %left, 8
  %here = select i1 %is_more, i64 8, i64 %left
  %size.here = trunc i64 %here to i32
  %there = add i64 %physical, %at
  %read = load ptr, ptr @mmu_on_read
  %value = call i64 %read(i64 %there, i32 %size.here)
  br label %store.it
store.it:
  %target = getelementptr i8, ptr %to, i64 %at
  call void @mmu_put(ptr %target, i64 %value, i64 %here)
  %next = add i64 %at, %here
  br label %loop
done:
  ret void
}

; Write to a device from memory.
define internal void @mmu_to_device(ptr %from, i64 %physical, i64 %size) nounwind {
  br label %loop
loop:
  %at = phi i64 [ 0, %0 ], [ %next, %one ]
  %left = sub i64 %size, %at
  %is_over = icmp eq i64 %left, 0
  br i1 %is_over, label %done, label %one
one:
  %is_more = icmp ugt i64 %left, 8
  %here = select i1 %is_more, i64 8, i64 %left
  %source = getelementptr i8, ptr %from, i64 %at
  %value = call i64 @mmu_get(ptr %source, i64 %here)
  %size.here = trunc i64 %here to i32
  %there = add i64 %physical, %at
  %write = load ptr, ptr @mmu_on_write
  call void %write(i64 %there, i64 %value, i32 %size.here)
  %next = add i64 %at, %here
  br label %loop
done:
  ret void
}

; A number of up to eight bytes, little endian.
define internal i64 @mmu_get(ptr %from, i64 %size) nounwind {
  %place = alloca i64
  store i64 0, ptr %place
  call void @llvm.memmove.p0.p0.i64(ptr %place, ptr %from, i64 %size, i1 false)
  %value = load i64, ptr %place
  ret i64 %value
}

define internal void @mmu_put(ptr %to, i64 %value, i64 %size) nounwind {
  %place = alloca i64
  store i64 %value, ptr %place
  call void @llvm.memmove.p0.p0.i64(ptr %to, ptr %place, i64 %size, i1 false)
  ret void
}

; ---- accesses that compiled code does not do itself ----------------------------------------------

; The second page's address of an access that reaches over the end of a page.
define internal i64 @mmu_next_page(ptr %env, i64 %last) nounwind {
  %mode.at = getelementptr i8, ptr %env, i64 {{mode}}
  %mode = load i32, ptr %mode.at
  %size = and i32 %mode, 3
  %is_long = icmp eq i32 %size, 2
  %mask = select i1 %is_long, i64 -4096, i64 4294963200
  %page = and i64 %last, %mask
  ret i64 %page
}

; Where to read `size` bytes from, the guest's memory or header.bounce; null if paging forbids it.
define preserve_mostcc ptr @mmu_read(ptr %env, ptr %tlb, i64 %address, i64 %size) noinline nounwind {
  %bounce = getelementptr i8, ptr %env, i64 {{bounce}}
  %less = sub i64 %size, 1
  %last = add i64 %address, %less
  %crossed = xor i64 %last, %address
  %is_within = icmp ult i64 %crossed, 4096
  br i1 %is_within, label %within, label %across
within:
  %host = call ptr @mmu_page(ptr %env, ptr %tlb, i64 %address, i32 0)
  %is_there = icmp ne ptr %host, null
  br i1 %is_there, label %found, label %special
found:
  ret ptr %host
special:
  %is_device = call i1 @mmu_is_device(ptr %env)
  br i1 %is_device, label %device, label %fault
device:
  %physical = call i64 @mmu_physical(ptr %env)
  call void @mmu_from_device(ptr %bounce, i64 %physical, i64 %size)
  ret ptr %bounce
fault:
  ret ptr null
across:
  %there = call i64 @mmu_next_page(ptr %env, i64 %last)
  %after.bits = and i64 %last, 4095
  %after = add i64 %after.bits, 1
  %before = sub i64 %size, %after
  %first = call ptr @mmu_page(ptr %env, ptr %tlb, i64 %address, i32 0)
  %first.status = call i32 @mmu_last_status(ptr %env)
  %first.physical = call i64 @mmu_physical(ptr %env)
  %first.fault = icmp eq i32 %first.status, {{Mmu.FAULT}}
  br i1 %first.fault, label %fault, label %more
more:
  %second = call ptr @mmu_page(ptr %env, ptr %tlb, i64 %there, i32 0)
  %second.status = call i32 @mmu_last_status(ptr %env)
  %second.physical = call i64 @mmu_physical(ptr %env)
  %second.fault = icmp eq i32 %second.status, {{Mmu.FAULT}}
  br i1 %second.fault, label %fault, label %both
both:
  call void @mmu_collect(ptr %bounce, ptr %first, i64 %first.physical, i64 %before)
  %rest = getelementptr i8, ptr %bounce, i64 %before
  call void @mmu_collect(ptr %rest, ptr %second, i64 %second.physical, i64 %after)
  ret ptr %bounce
}

define internal void @mmu_collect(ptr %to, ptr %host, i64 %physical, i64 %size) nounwind {
  %is_device = icmp eq ptr %host, null
  br i1 %is_device, label %device, label %plain
device:
  call void @mmu_from_device(ptr %to, i64 %physical, i64 %size)
  ret void
plain:
  call void @llvm.memmove.p0.p0.i64(ptr %to, ptr %host, i64 %size, i1 false)
  ret void
}

define internal i32 @mmu_last_status(ptr %env) alwaysinline nounwind {
  %status.at = getelementptr i8, ptr %env, i64 {{mmu_status}}
  %status = load i32, ptr %status.at
  ret i32 %status
}

define internal i1 @mmu_is_device(ptr %env) alwaysinline nounwind {
  %status = call i32 @mmu_last_status(ptr %env)
  %is_device = icmp eq i32 %status, {{Mmu.DEVICE}}
  ret i1 %is_device
}

define internal i64 @mmu_physical(ptr %env) alwaysinline nounwind {
  %physical.at = getelementptr i8, ptr %env, i64 {{walk_physical}}
  %physical = load i64, ptr %physical.at
  ret i64 %physical
}

; Write what is in header.bounce.  0 if it is done; else nothing is: FAULT, or CODE where it would
; change what was translated.
define preserve_mostcc i32 @mmu_write(ptr %env, ptr %tlb, i64 %address, i64 %size) noinline nounwind {
  %bounce = getelementptr i8, ptr %env, i64 {{bounce}}
  %less = sub i64 %size, 1
  %last = add i64 %address, %less
  %crossed = xor i64 %last, %address
  %is_within = icmp ult i64 %crossed, 4096
  br i1 %is_within, label %within, label %across
within:
  %ready = call i32 @mmu_prepare(ptr %env, ptr %tlb, i64 %address, i64 %size)
  %is_ready = icmp eq i32 %ready, 0
  br i1 %is_ready, label %do, label %no
do:
  call void @mmu_do(ptr %env, ptr %tlb, i64 %address, ptr %bounce, i64 %size)
  ret i32 0
no:
  ret i32 %ready
across:
  %there = call i64 @mmu_next_page(ptr %env, i64 %last)
  %after.bits = and i64 %last, 4095
  %after = add i64 %after.bits, 1
  %before = sub i64 %size, %after
  %first = call i32 @mmu_prepare(ptr %env, ptr %tlb, i64 %address, i64 %before)
  %first.ready = icmp eq i32 %first, 0
  br i1 %first.ready, label %more, label %first.no
first.no:
  ret i32 %first
more:
  %second = call i32 @mmu_prepare(ptr %env, ptr %tlb, i64 %there, i64 %after)
  %second.ready = icmp eq i32 %second, 0
  br i1 %second.ready, label %both, label %second.no
second.no:
  ret i32 %second
both:
  call void @mmu_do(ptr %env, ptr %tlb, i64 %address, ptr %bounce, i64 %before)
  %rest = getelementptr i8, ptr %bounce, i64 %before
  call void @mmu_do(ptr %env, ptr %tlb, i64 %there, ptr %rest, i64 %after)
  ret i32 0
}

; 0 if a write can be done, which is not done yet; else FAULT or CODE.
define preserve_mostcc i32 @mmu_touch(ptr %env, ptr %tlb, i64 %address, i64 %size) noinline nounwind {
  %less = sub i64 %size, 1
  %last = add i64 %address, %less
  %crossed = xor i64 %last, %address
  %is_within = icmp ult i64 %crossed, 4096
  br i1 %is_within, label %within, label %across
within:
  %whole = call i32 @mmu_prepare(ptr %env, ptr %tlb, i64 %address, i64 %size)
  ret i32 %whole
across:
  %there = call i64 @mmu_next_page(ptr %env, i64 %last)
  %after.bits = and i64 %last, 4095
  %after = add i64 %after.bits, 1
  %before = sub i64 %size, %after
  %first = call i32 @mmu_prepare(ptr %env, ptr %tlb, i64 %address, i64 %before)
  %is_ready = icmp eq i32 %first, 0
  br i1 %is_ready, label %more, label %no
more:
  %second = call i32 @mmu_prepare(ptr %env, ptr %tlb, i64 %there, i64 %after)
  ret i32 %second
no:
  ret i32 %first
}

; 0 if a write within a page can be done, else FAULT or CODE.
define internal i32 @mmu_prepare(ptr %env, ptr %tlb, i64 %address, i64 %size) nounwind {
  %host = call ptr @mmu_page(ptr %env, ptr %tlb, i64 %address, i32 1)
  %status = call i32 @mmu_last_status(ptr %env)
  %is_fault = icmp eq i32 %status, {{Mmu.FAULT}}
  br i1 %is_fault, label %fault, label %other
fault:
  ret i32 {{Mmu.FAULT}}
other:
  %is_code = icmp eq i32 %status, {{Mmu.CODE}}
  br i1 %is_code, label %look, label %fine
look:
  %physical = call i64 @mmu_physical(ptr %env)
  %hits = call i1 @mmu_hits_code(ptr %env, i64 %physical, i64 %size)
  br i1 %hits, label %code, label %fine
code:
  %where.at = getelementptr i8, ptr %env, i64 {{fault_address}}
  store i64 %physical, ptr %where.at
  %size.at = getelementptr i8, ptr %env, i64 {{fault_code}}
  %size.32 = trunc i64 %size to i32
  store i32 %size.32, ptr %size.at
  ret i32 {{Mmu.CODE}}
fine:
  ret i32 0
}

; Do a write within a page that mmu_prepare has looked at.
define internal void @mmu_do(ptr %env, ptr %tlb, i64 %address, ptr %from, i64 %size) nounwind {
  %host = call ptr @mmu_page(ptr %env, ptr %tlb, i64 %address, i32 1)
  %is_there = icmp ne ptr %host, null
  br i1 %is_there, label %plain, label %special
plain:
  call void @llvm.memmove.p0.p0.i64(ptr %host, ptr %from, i64 %size, i1 false)
  ret void
special:
  %is_device = call i1 @mmu_is_device(ptr %env)
  br i1 %is_device, label %device, label %done
device:
  %physical = call i64 @mmu_physical(ptr %env)
  call void @mmu_to_device(ptr %from, i64 %physical, i64 %size)
  ret void
done:
  ret void
}

; ---- many bytes within a page ----------------------------------------------------------------------

; Where `size` bytes within a page are on the host; null with header.mmu_status if they are not all
; plain memory that may be touched: FAULT, CODE, DEVICE, DROPPED.
define preserve_mostcc ptr @mmu_range(ptr %env, ptr %tlb, i64 %address, i64 %size, i32 %write) noinline nounwind {
  %host = call ptr @mmu_page(ptr %env, ptr %tlb, i64 %address, i32 %write)
  %status = call i32 @mmu_last_status(ptr %env)
  %is_code = icmp eq i32 %status, {{Mmu.CODE}}
  br i1 %is_code, label %look, label %done
look:
  %some = icmp ne i64 %size, 0
  br i1 %some, label %touch, label %done
touch:
  %physical = call i64 @mmu_physical(ptr %env)
  %hits = call i1 @mmu_hits_code(ptr %env, i64 %physical, i64 %size)
  br i1 %hits, label %code, label %done
code:
  %where.at = getelementptr i8, ptr %env, i64 {{fault_address}}
  store i64 %physical, ptr %where.at
  %size.at = getelementptr i8, ptr %env, i64 {{fault_code}}
  %size.32 = trunc i64 %size to i32
  store i32 %size.32, ptr %size.at
  ret ptr null
done:
  ret ptr %host
}

; Copy elements one by one, of which some are a device's; `step` is the size, or less its negative.
define preserve_mostcc i32 @mmu_copy(ptr %env, ptr %tlb, i64 %to, i64 %from, i64 %count, i64 %size, i64 %step) noinline nounwind {
  %bounce = getelementptr i8, ptr %env, i64 {{bounce}}
  br label %loop
loop:
  %i = phi i64 [ 0, %0 ], [ %next, %written ]
  %t = phi i64 [ %to, %0 ], [ %t.next, %written ]
  %f = phi i64 [ %from, %0 ], [ %f.next, %written ]
  %is_over = icmp uge i64 %i, %count
  br i1 %is_over, label %done, label %one
one:
  %source = call preserve_mostcc ptr @mmu_read(ptr %env, ptr %tlb, i64 %f, i64 %size)
  %is_fault = icmp eq ptr %source, null
  br i1 %is_fault, label %fault, label %read
read:
  call void @llvm.memmove.p0.p0.i64(ptr %bounce, ptr %source, i64 %size, i1 false)
  %status = call preserve_mostcc i32 @mmu_write(ptr %env, ptr %tlb, i64 %t, i64 %size)
  %is_written = icmp eq i32 %status, 0
  br i1 %is_written, label %written, label %no
written:
  %next = add i64 %i, 1
  %t.next = add i64 %t, %step
  %f.next = add i64 %f, %step
  br label %loop
done:
  ret i32 0
no:
  ret i32 %status
fault:
  ret i32 {{Mmu.FAULT}}
}

; Write an element over and over, to a device.
define preserve_mostcc i32 @mmu_repeat(ptr %env, ptr %tlb, i64 %to, i64 %count, i64 %size, i64 %value) noinline nounwind {
  %bounce = getelementptr i8, ptr %env, i64 {{bounce}}
  br label %loop
loop:
  %i = phi i64 [ 0, %0 ], [ %next, %written ]
  %t = phi i64 [ %to, %0 ], [ %t.next, %written ]
  %is_over = icmp uge i64 %i, %count
  br i1 %is_over, label %done, label %one
one:
  store i64 %value, ptr %bounce
  %status = call preserve_mostcc i32 @mmu_write(ptr %env, ptr %tlb, i64 %t, i64 %size)
  %is_written = icmp eq i32 %status, 0
  br i1 %is_written, label %written, label %no
written:
  %next = add i64 %i, 1
  %t.next = add i64 %t, %size
  br label %loop
done:
  ret i32 0
no:
  ret i32 %status
}

; ---- without paging: for the page walk and ports ---------------------------------------------------------------

define preserve_mostcc i64 @mmu_physical_load(ptr %env, i64 %physical, i64 %size) noinline nounwind {
  %entry = call i64 @mmu_entry(ptr %env, i64 %physical)
  %is_device = icmp eq i64 %entry, 0
  br i1 %is_device, label %device, label %plain
plain:
  %page = and i64 %entry, -4096
  %offset = and i64 %physical, 4095
  %there = or i64 %page, %offset
  %host = inttoptr i64 %there to ptr
  %is_wide = icmp eq i64 %size, 8
  br i1 %is_wide, label %wide, label %narrow
wide:
  %value = load i64, ptr %host, align 1
  ret i64 %value
narrow:
  %half = load i32, ptr %host, align 1
  %extended = zext i32 %half to i64
  ret i64 %extended
device:
  %read = load ptr, ptr @mmu_on_read
  %size.here = trunc i64 %size to i32
  %got = call i64 %read(i64 %physical, i32 %size.here)
  ret i64 %got
}

define preserve_mostcc void @mmu_physical_store(ptr %env, i64 %physical, i64 %value, i64 %size) noinline nounwind {
  %entry = call i64 @mmu_entry(ptr %env, i64 %physical)
  %writable = and i64 %entry, 2
  %is_plain = icmp ne i64 %writable, 0
  br i1 %is_plain, label %plain, label %other
plain:
  %page = and i64 %entry, -4096
  %offset = and i64 %physical, 4095
  %there = or i64 %page, %offset
  %host = inttoptr i64 %there to ptr
  call void @mmu_put(ptr %host, i64 %value, i64 %size)
  ret void
other:
  %is_device = icmp eq i64 %entry, 0
  br i1 %is_device, label %special, label %done
special:
  switch i64 %physical, label %device [ i64 {{FLUSH_PAGE}}, label %flush.page
                                        i64 {{FLUSH_ALL}}, label %flush.all ]
flush.page:
  call void @mmu_flush_page(ptr %env, i64 %value)
  ret void
flush.all:
  call void @mmu_flush(ptr %env)
  ret void
device:
  %write = load ptr, ptr @mmu_on_write
  %size.here = trunc i64 %size to i32
  call void %write(i64 %physical, i64 %value, i32 %size.here)
  ret void
done:
  ret void
}

; ---- from linear to physical, for others ---------------------------------------------------------------

; The physical address of an access by that TLB; -1 if paging forbids it (fault_address, fault_code).
define i64 @mmu_translate(ptr %env, i32 %index, i64 %address, i32 %access) nounwind {
  %tlbs.at = getelementptr i8, ptr %env, i64 {{tlbs}}
  %tlbs = load ptr, ptr %tlbs.at
  %which = zext i32 %index to i64
  %offset = mul i64 %which, {{TLB_BYTES}}
  %tlb = getelementptr i8, ptr %tlbs, i64 %offset
  %allowed = call i1 @mmu_allowed(ptr %env, ptr %tlb, i64 %address, i32 %access)
  br i1 %allowed, label %yes, label %no
yes:
  %page.any = call i64 @mmu_physical(ptr %env)
  %page = and i64 %page.any, -4096
  %within = and i64 %address, 4095
  %physical = or i64 %page, %within
  ret i64 %physical
no:
  ret i64 -1
}

; The physical address of code by its key, the pc plus header.code_space; -1 if paging forbids it.
define internal i64 @mmu_code(ptr %env, i64 %key) nounwind {
  %mode.at = getelementptr i8, ptr %env, i64 {{mode}}
  %mode = load i32, ptr %mode.at
  %size = and i32 %mode, 3
  %is_long = icmp eq i32 %size, 2
  %start = lshr i64 %key, 32
  %sum = add i64 %key, %start
  %low = and i64 %sum, 4294967295
  %linear = select i1 %is_long, i64 %key, i64 %low
  %physical = call i64 @mmu_fetch(ptr %env, i64 %linear)
  ret i64 %physical
}

define internal i64 @mmu_fetch(ptr %env, i64 %linear) nounwind {
  %base.at = getelementptr i8, ptr %env, i64 {{base}}
  %tlb = load ptr, ptr %base.at
  %lines = getelementptr i8, ptr %tlb, i64 {{TLB_CODE}}
  %number = lshr i64 %linear, 12
  %index = and i64 %number, {{TLB_CODE_MASK}}
  %line = getelementptr { i64, i64 }, ptr %lines, i64 %index
  %page = and i64 %linear, -4096
  %offset = and i64 %linear, 4095
  %tag = load i64, ptr %line
  %physical.at = getelementptr i8, ptr %line, i64 8
  %is_known = icmp eq i64 %tag, %page
  br i1 %is_known, label %known, label %miss
known:
  %known.page = load i64, ptr %physical.at
  %known.address = or i64 %known.page, %offset
  ret i64 %known.address
miss:
  %allowed = call i1 @mmu_allowed(ptr %env, ptr %tlb, i64 %linear, i32 2)
  br i1 %allowed, label %fill, label %no
fill:
  %there.any = call i64 @mmu_physical(ptr %env)
  %there = and i64 %there.any, -4096
  store i64 %page, ptr %line
  store i64 %there, ptr %physical.at
  %address = or i64 %there, %offset
  ret i64 %address
no:
  ret i64 -1
}

; What tells the code of a key from other code: see tcg.state.where_of; -1 if it cannot be fetched.
define i64 @mmu_where(ptr %env, i64 %key) nounwind {
  %physical = call i64 @mmu_code(ptr %env, i64 %key)
  %is_fault = icmp eq i64 %physical, -1
  br i1 %is_fault, label %fault, label %fine
fine:
  %mode.at = getelementptr i8, ptr %env, i64 {{mode}}
  %mode = load i32, ptr %mode.at
  %wide = zext i32 %mode to i64
  %shifted = shl i64 %physical, {{MODE_BITS}}
  %where = or i64 %shifted, %wide
  ret i64 %where
fault:
  ret i64 -1
}

; ---- ways from block to block ---------------------------------------------------------------------------

define internal i64 @mmu_key(ptr %env, i64 %pc) alwaysinline nounwind {
  %space.at = getelementptr i8, ptr %env, i64 {{code_space}}
  %space = load i64, ptr %space.at
  %key = add i64 %space, %pc
  ret i64 %key
}

define internal ptr @mmu_place(ptr %env, i64 %key) alwaysinline nounwind {
  %cache.at = getelementptr i8, ptr %env, i64 {{jump_cache}}
  %cache = load ptr, ptr %cache.at
  %index = and i64 %key, {{SYSTEM_JUMP_MASK}}
  %place = getelementptr ptr, ptr %cache, i64 %index
  ret ptr %place
}

; The head of a key by the heads of all code; null if there is none, or no way to fetch it.
define internal ptr @mmu_head(ptr %env, i64 %key) nounwind {
  %where = call i64 @mmu_where(ptr %env, i64 %key)
  %is_fault = icmp eq i64 %where, -1
  br i1 %is_fault, label %none, label %ask
ask:
  %head = call ptr @rt_find(i64 %key, i64 %where)
  ret ptr %head
none:
  ret ptr null
}

; The head of a key by the jump cache, which is filled.
define internal ptr @mmu_near(ptr %env, i64 %key) nounwind {
  %place = call ptr @mmu_place(ptr %env, i64 %key)
  %cached = load ptr, ptr %place
  %pc.at = getelementptr i8, ptr %cached, i64 {{Head.PC}}
  %pc = load i64, ptr %pc.at
  %is_it = icmp eq i64 %pc, %key
  br i1 %is_it, label %hit, label %miss
hit:
  ret ptr %cached
miss:
  %links = load i32, ptr @rt_links
  %is_linking = icmp ne i32 %links, 0
  br i1 %is_linking, label %ask, label %none
ask:
  %head = call ptr @mmu_head(ptr %env, i64 %key)
  %is_none = icmp eq ptr %head, null
  br i1 %is_none, label %none, label %found
found:
  store ptr %head, ptr %place
  ret ptr %head
none:
  ret ptr null
}

; A computed jump that missed the jump cache: its target is in exit_pc.
define tailcc void @s_lookup(ptr noalias %env, ptr %rec, ptr %base) nounwind {
  %pc.at = getelementptr i8, ptr %env, i64 {{exit_pc}}
  %pc = load i64, ptr %pc.at
  %key = call i64 @mmu_key(ptr %env, i64 %pc)
  %head = call ptr @mmu_near(ptr %env, i64 %key)
  %is_none = icmp eq ptr %head, null
  br i1 %is_none, label %miss, label %go
go:
  %code = load ptr, ptr %head
  musttail call tailcc void %code(ptr %env, ptr %head, ptr %base)
  ret void
miss:
  musttail call tailcc void @leave_to(ptr %env, i64 %pc, i32 {{Reason.LOOKUP}})
  ret void
}

; A record whose link is not set, or that sees an event.
define tailcc void @s_follow(ptr noalias %env, ptr %rec, ptr %base) nounwind {
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
  %key = call i64 @mmu_key(ptr %env, i64 %pc)
  %head = call ptr @mmu_near(ptr %env, i64 %key)
  %is_none = icmp eq ptr %head, null
  br i1 %is_none, label %miss, label %found
miss:
  musttail call tailcc void @leave_to(ptr %env, i64 %pc, i32 {{Reason.LOOKUP}})
  ret void
found:
  %now = load ptr, ptr %head
  %untranslated = icmp eq ptr %now, @h_untranslated
  %far = and i64 %link, 2
  %is_far = icmp ne i64 %far, 0
  %stays = or i1 %untranslated, %is_far
  br i1 %stays, label %go, label %set
set:
  store ptr %head, ptr %link.at
  br label %go
go:
  %next = phi ptr [ %there, %known ], [ %head, %found ], [ %head, %set ]
  %code = load ptr, ptr %next
  musttail call tailcc void %code(ptr %env, ptr %next, ptr %base)
  ret void
}

; Go on at exit_pc after the mode or the privilege may have changed.
define tailcc void @s_far(ptr noalias %env, ptr %rec, ptr %base) nounwind {
  call void @mmu_select(ptr %env)
  %pc.at = getelementptr i8, ptr %env, i64 {{exit_pc}}
  %pc = load i64, ptr %pc.at
  %event.at = getelementptr i8, ptr %env, i64 {{event}}
  %event = load volatile i32, ptr %event.at
  %pending = icmp ne i32 %event, 0
  br i1 %pending, label %stop, label %search
stop:
  musttail call tailcc void @leave_to(ptr %env, i64 %pc, i32 {{Reason.EVENT}})
  ret void
search:
  %tlb.at = getelementptr i8, ptr %env, i64 {{base}}
  %tlb = load ptr, ptr %tlb.at
  musttail call tailcc void @s_lookup(ptr %env, ptr %rec, ptr %tlb)
  ret void
}

; The first record of a block whose code reaches into another page: goes on if that is where it was
; when the block was translated.
define tailcc void @s_page(ptr noalias %env, ptr %rec, ptr %base) nounwind {
  %linear.at = getelementptr i8, ptr %rec, i64 {{Page.LINEAR}}
  %linear = load i64, ptr %linear.at
  %wanted.at = getelementptr i8, ptr %rec, i64 {{Page.PHYSICAL}}
  %wanted = load i64, ptr %wanted.at
  %there = call i64 @mmu_fetch(ptr %env, i64 %linear)
  %is_same = icmp eq i64 %there, %wanted
  br i1 %is_same, label %same, label %other
same:
  %next = getelementptr i8, ptr %rec, i64 32
  %handler = load ptr, ptr %next
  musttail call tailcc void %handler(ptr %env, ptr %next, ptr %base)
  ret void
other:
  musttail call tailcc void @leave_at(ptr %env, ptr %rec, i32 {{Reason.STALE}})
  ret void
}

; Have the TLB and the jump cache in force that go with the mode and the privilege.
;
; header.contexts is a table of { key, jump cache }; a jump cache that was another context's, or has
; been flushed (key -1), is emptied first.
define void @mmu_select(ptr %env) nounwind {
  %index.at = getelementptr i8, ptr %env, i64 {{mmu_index}}
  %index = load i32, ptr %index.at
  %which = zext i32 %index to i64
  %tlbs.at = getelementptr i8, ptr %env, i64 {{tlbs}}
  %tlbs = load ptr, ptr %tlbs.at
  %offset = mul i64 %which, {{TLB_BYTES}}
  %tlb = getelementptr i8, ptr %tlbs, i64 %offset
  %base.at = getelementptr i8, ptr %env, i64 {{base}}
  store ptr %tlb, ptr %base.at
  %mode.at = getelementptr i8, ptr %env, i64 {{mode}}
  %mode = load i32, ptr %mode.at
  %wide = zext i32 %mode to i64
  %high = shl i64 %which, 32
  %key = or i64 %wide, %high
  %by3 = lshr i64 %wide, 3
  %by6 = lshr i64 %wide, 6
  %mixed.0 = xor i64 %wide, %by3
  %mixed = xor i64 %mixed.0, %by6
  %low = and i64 %mixed, 7
  %row = shl i64 %which, 3
  %number = or i64 %row, %low
  %contexts.at = getelementptr i8, ptr %env, i64 {{contexts}}
  %contexts = load ptr, ptr %contexts.at
  %context = getelementptr { i64, ptr }, ptr %contexts, i64 %number
  %cache.at = getelementptr i8, ptr %context, i64 8
  %cache = load ptr, ptr %cache.at
  %jump.at = getelementptr i8, ptr %env, i64 {{jump_cache}}
  store ptr %cache, ptr %jump.at
  %its = load i64, ptr %context
  %is_its = icmp eq i64 %its, %key
  br i1 %is_its, label %done, label %empty
empty:
  store i64 %key, ptr %context
  br label %loop
loop:
  %i = phi i64 [ 0, %empty ], [ %next, %loop ]
  %entry = getelementptr ptr, ptr %cache, i64 %i
  store ptr @rt_empty_head, ptr %entry
  %next = add i64 %i, 1
  %more = icmp ule i64 %next, {{SYSTEM_JUMP_MASK}}
  br i1 %more, label %loop, label %done
done:
  ret void
}

; Forget all translations of addresses.
define void @mmu_flush(ptr %env) nounwind {
  %tlbs.at = getelementptr i8, ptr %env, i64 {{tlbs}}
  %tlbs = load ptr, ptr %tlbs.at
  call void @llvm.memset.p0.i64(ptr %tlbs, i8 -1, i64 {{3 * TLB_BYTES}}, i1 false)
  %pages.at = getelementptr i8, ptr %env, i64 {{walk_pages}}
  store i32 0, ptr %pages.at
  call void @mmu_flush_jumps(ptr %env)
  ret void
}

; Forget where jumps led to.
define void @mmu_flush_jumps(ptr %env) nounwind {
  %contexts.at = getelementptr i8, ptr %env, i64 {{contexts}}
  %contexts = load ptr, ptr %contexts.at
  br label %loop
loop:
  %i = phi i64 [ 0, %0 ], [ %next, %loop ]
  %context = getelementptr { i64, ptr }, ptr %contexts, i64 %i
  store i64 -1, ptr %context
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, {{CONTEXTS}}
  br i1 %more, label %loop, label %done
done:
  ret void
}

; Forget the translation of a page, and of all if there were big ones.
define void @mmu_flush_page(ptr %env, i64 %address) nounwind {
  %pages.at = getelementptr i8, ptr %env, i64 {{walk_pages}}
  %pages = load i32, ptr %pages.at
  %has_big = icmp ne i32 %pages, 0
  br i1 %has_big, label %all, label %one
all:
  call void @mmu_flush(ptr %env)
  ret void
one:
  %tlbs.at = getelementptr i8, ptr %env, i64 {{tlbs}}
  %tlbs = load ptr, ptr %tlbs.at
  %number = lshr i64 %address, 12
  %index = and i64 %number, {{TLB_CODE_MASK}}
  br label %loop
loop:
  %i = phi i64 [ 0, %one ], [ %next, %loop ]
  %offset = mul i64 %i, {{TLB_BYTES}}
  %tlb = getelementptr i8, ptr %tlbs, i64 %offset
  %line = call ptr @mmu_line(ptr %tlb, i64 %address)
  store i64 -1, ptr %line
  %write.at = getelementptr i8, ptr %line, i64 8
  store i64 -1, ptr %write.at
  %lines = getelementptr i8, ptr %tlb, i64 {{TLB_CODE}}
  %code = getelementptr { i64, i64 }, ptr %lines, i64 %index
  store i64 -1, ptr %code
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, 3
  br i1 %more, label %loop, label %done
done:
  call void @mmu_flush_jumps(ptr %env)
  ret void
}

; Code is translated from a physical page for the first time: have writes to it come to mmu_write.
define void @mmu_protect(ptr %env, i64 %physical) nounwind {
  %tlbs.at = getelementptr i8, ptr %env, i64 {{tlbs}}
  %tlbs = load ptr, ptr %tlbs.at
  br label %tlb.loop
tlb.loop:
  %number = phi i64 [ 0, %0 ], [ %number.next, %tlb.end ]
  %offset = mul i64 %number, {{TLB_BYTES}}
  %tlb = getelementptr i8, ptr %tlbs, i64 %offset
  br label %loop
loop:
  %i = phi i64 [ 0, %tlb.loop ], [ %next, %on ]
  %line = getelementptr { i64, i64, ptr, i64 }, ptr %tlb, i64 %i
  %physical.at = getelementptr i8, ptr %line, i64 24
  %its = load i64, ptr %physical.at
  %is_it = icmp eq i64 %its, %physical
  br i1 %is_it, label %protect, label %on
protect:
  %write.at = getelementptr i8, ptr %line, i64 8
  %tag = load i64, ptr %write.at
  %slow = or i64 %tag, 1
  store i64 %slow, ptr %write.at
  br label %on
on:
  %next = add i64 %i, 1
  %more = icmp ule i64 %next, {{TLB_MASK}}
  br i1 %more, label %loop, label %tlb.end
tlb.end:
  %number.next = add i64 %number, 1
  %others = icmp ult i64 %number.next, 3
  br i1 %others, label %tlb.loop, label %done
done:
  ret void
}

; ---- routines ---------------------------------------------------------------------------------------------

; Run a routine: code that returns when it is done.
define void @mmu_routine(ptr %env, ptr %code) nounwind {
  call tailcc void %code(ptr %env, ptr null, ptr null)
  ret void
}
