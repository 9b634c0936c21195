/* What only i386 Linux has: descriptors of threads and of the process, the kernel's entry in the vDSO. */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

struct user_desc {
    unsigned entry_number, base_addr, limit;
    unsigned seg_32bit : 1, contents : 2, read_exec_only : 1, limit_in_pages : 1, seg_not_present : 1,
        useable : 1;
};

static unsigned block[4] = { 11, 22, 33, 44 };
static __thread long mine = 5;

static unsigned selector(void)
{
    unsigned found;
    __asm__("movl %%gs, %0" : "=r"(found));
    return found;
}

/* Through FS, which the C library leaves alone. */
static unsigned word(unsigned use, unsigned offset)
{
    unsigned result;
    __asm__ volatile("movl %1, %%fs; movl %%fs:(%2), %0" : "=&r"(result) : "r"(use), "r"(offset));
    return result;
}

static struct user_desc area(int entry, void *base)
{
    struct user_desc made = { .entry_number = entry, .base_addr = (unsigned)base, .limit = 0xfffff,
                              .seg_32bit = 1, .limit_in_pages = 1, .useable = 1 };
    return made;
}

static void *other(void *argument)
{
    unsigned found;
    __asm__ volatile("movl %%fs, %0" : "=r"(found));
    mine += (long)argument;
    printf("thread: own %ld selector %x fs %d\n", mine, selector(), found == (unsigned)argument * 0);
    struct user_desc desc = area(13, block + 1);
    printf("thread: %ld", syscall(SYS_set_thread_area, &desc));
    printf(" %u\n", word(13 * 8 + 3, 0));
    return 0;
}

static void areas(void)
{
    struct user_desc desc = area(-1, block), found = { .entry_number = 12 };
    printf("own selector %x\n", selector());
    long status = syscall(SYS_set_thread_area, &desc);
    printf("free entry %ld %d: %u %u\n", status, desc.entry_number, word(desc.entry_number * 8 + 3, 4),
           word(desc.entry_number * 8 + 3, 12));
    status = syscall(SYS_get_thread_area, &found);
    printf("entry 12: %ld base %d limit %x flags %d%d%d%d%d%d\n", status, found.base_addr != 0,
           found.limit, found.seg_32bit, found.contents, found.read_exec_only, found.limit_in_pages,
           found.seg_not_present, found.useable);
    desc = area(20, block);
    status = syscall(SYS_set_thread_area, &desc);
    printf("bad entry: %ld %d\n", status, errno == EINVAL);
    pthread_t thread;
    __asm__ volatile("movl %0, %%fs" : : "r"(0));
    pthread_create(&thread, 0, other, (void *)7);
    pthread_join(thread, 0);
    printf("mine %ld, still %u\n", mine, word(13 * 8 + 3, 0));
    __asm__ volatile("movl %0, %%fs" : : "r"(0));
}

static void local_table(void)
{
    unsigned char table[24];
    struct user_desc desc = area(1, block + 2);
    long before = syscall(SYS_modify_ldt, 0, table, sizeof table);
    long status = syscall(SYS_modify_ldt, 0x11, &desc, sizeof desc);
    printf("ldt: %ld %ld %u\n", before, status, word(1 * 8 + 7, 4));
    long size = syscall(SYS_modify_ldt, 0, table, sizeof table);
    printf("ldt: %d bytes, access %x flags %x\n", size >= 16, table[13], table[14]);
    __asm__ volatile("movl %0, %%fs" : : "r"(0));
}

static void entry_point(void)
{
    struct utsname name;
    unsigned char *entry = (unsigned char *)getauxval(AT_SYSINFO);
    unsigned char *image = (unsigned char *)getauxval(AT_SYSINFO_EHDR);
    Elf32_Ehdr *header = (Elf32_Ehdr *)image;
    int result;
    printf("vdso %d type %d inside %d\n", memcmp(image, ELFMAG, 4) == 0, header->e_type,
           entry > image && entry < image + 8192);
    __asm__ volatile("call *%1" : "=a"(result) : "r"(entry), "0"(SYS_getpid) : "memory");
    printf("pid %d\n", result == getpid());
    __asm__ volatile("pushl %%ebx; xchgl %%esi, %%ebx; call *%%edi; xchgl %%esi, %%ebx; popl %%ebx"
                     : "=a"(result) : "D"(entry), "0"(SYS_uname), "S"(&name) : "memory");
    printf("uname %d %d\n", result, strcmp(name.sysname, "Linux"));
    __asm__ volatile("int $0x80" : "=a"(result) : "0"(9999) : "memory");
    printf("no such call %d\n", result);
}

int main(void)
{
    areas();
    local_table();
    entry_point();
    return 0;
}
