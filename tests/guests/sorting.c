/* qsort and bsearch with several item sizes and comparison functions. */
#include "check.h"
#include <stdlib.h>
#include <string.h>

typedef struct { char name[12]; uint32_t key; double weight; } Item;

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static int by_key(const void *a, const void *b)
{
    return by_number(&((const Item *)a)->key, &((const Item *)b)->key);
}

static int by_weight(const void *a, const void *b)
{
    double x = ((const Item *)a)->weight, y = ((const Item *)b)->weight;
    return (x > y) - (x < y);
}

static int by_name(const void *a, const void *b) { return strcmp(((const Item *)a)->name, ((const Item *)b)->name); }

int main(void)
{
    static uint32_t numbers[5000];
    static Item items[1000];
    for (int i = 0; i < 5000; i++)
        numbers[i] = (uint32_t)random64();
    qsort(numbers, 5000, sizeof *numbers, by_number);
    for (int i = 0; i < 5000; i++)
        check(numbers[i]);
    check_print("numbers");
    uint32_t *found = bsearch(&numbers[1234], numbers, 5000, sizeof *numbers, by_number);
    printf("found at %d\n", (int)(found - numbers));
    for (int i = 0; i < 1000; i++) {
        items[i].key = (uint32_t)random64();
        items[i].weight = (double)(int64_t)random64() / 1e9;
        snprintf(items[i].name, sizeof items[i].name, "%08x", (unsigned)random64());
    }
    int (*orders[])(const void *, const void *) = { by_key, by_weight, by_name };
    for (int order = 0; order < 3; order++) {
        qsort(items, 1000, sizeof *items, orders[order]);
        for (int i = 0; i < 1000; i++) {
            check(items[i].key);
            check_double(items[i].weight);
        }
        check_print("items");
    }
    return 0;
}
