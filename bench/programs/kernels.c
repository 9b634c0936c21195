/* Integer kernels of the kind small processors are measured by: a linked list that is searched,
   turned round and sorted; matrices of 16-bit numbers; a state machine that reads numbers out of
   text; a CRC over everything.    kernels <rounds> */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define ITEMS 120
#define SIZE 16
#define TEXT 600

typedef struct Item {
    struct Item *next;
    int16_t key, place;
} Item;

static Item items[ITEMS];
static int16_t left[SIZE][SIZE], right[SIZE][SIZE];
static int32_t product[SIZE][SIZE];
static char text[TEXT];

static uint16_t crc16(uint16_t crc, uint32_t value)
{
    for (int bit = 0; bit < 32; bit++, value >>= 1)
        crc = (uint16_t)((crc ^ value) & 1 ? crc >> 1 ^ 0xa001 : crc >> 1);
    return crc;
}

static Item *make_list(uint32_t seed)
{
    for (int i = 0; i < ITEMS; i++) {
        seed = seed * 1103515245u + 12345u;
        items[i].key = (int16_t)(seed >> 16);
        items[i].place = (int16_t)i;
        items[i].next = i + 1 < ITEMS ? &items[i + 1] : 0;
    }
    return items;
}

static Item *turned(Item *list)
{
    Item *result = 0;
    while (list) {
        Item *next = list->next;
        list->next = result;
        result = list;
        list = next;
    }
    return result;
}

static int by_key(const Item *a, const Item *b) { return a->key - b->key; }
static int by_place(const Item *a, const Item *b) { return a->place - b->place; }

static Item *merged(Item *a, Item *b, int (*order)(const Item *, const Item *))
{
    Item head, *last = &head;
    while (a && b) {
        Item **first = order(a, b) <= 0 ? &a : &b;
        last->next = *first;
        last = *first;
        *first = (*first)->next;
    }
    last->next = a ? a : b;
    return head.next;
}

static Item *sorted(Item *list, int (*order)(const Item *, const Item *))
{
    if (!list || !list->next)
        return list;
    Item *slow = list, *fast = list->next;
    while (fast && fast->next) {
        slow = slow->next;
        fast = fast->next->next;
    }
    Item *second = slow->next;
    slow->next = 0;
    return merged(sorted(list, order), sorted(second, order), order);
}

static uint16_t lists(uint16_t crc, uint32_t seed)
{
    Item *list = make_list(seed);
    for (int wanted = 0; wanted < ITEMS; wanted += 7) {
        Item *at = list;
        while (at && at->place != wanted)
            at = at->next;
        crc = crc16(crc, at ? (uint16_t)at->key : 0);
        list = turned(list);
    }
    list = sorted(list, by_key);
    crc = crc16(crc, (uint32_t)list->key);
    list = sorted(list, by_place);
    return crc16(crc, (uint32_t)list->key);
}

static uint16_t matrices(uint16_t crc, uint32_t seed)
{
    for (int i = 0; i < SIZE; i++)
        for (int j = 0; j < SIZE; j++) {
            seed = seed * 1103515245u + 12345u;
            left[i][j] = (int16_t)(seed >> 16);
            right[i][j] = (int16_t)((seed >> 8) & 0xff);
        }
    for (int i = 0; i < SIZE; i++)
        for (int j = 0; j < SIZE; j++) {
            int32_t sum = 0;
            for (int k = 0; k < SIZE; k++)
                sum += left[i][k] * right[k][j];
            product[i][j] = sum;
        }
    int32_t total = 0;
    for (int i = 0; i < SIZE; i++)
        for (int j = 0; j < SIZE; j++)
            total += (product[i][j] >> 2 & 15) * (product[j][i] >> 5 & 127) - (left[i][j] > 0 ? 3 : 11);
    return crc16(crc, (uint32_t)total);
}

enum { START, SIGN, WHOLE, POINT, FRACTION, EXPONENT, POWER, BAD, STATES };

static int step(int state, char c)
{
    int is_digit = c >= '0' && c <= '9';
    switch (state) {
    case START:    return is_digit ? WHOLE : c == '+' || c == '-' ? SIGN : c == '.' ? POINT : BAD;
    case SIGN:     return is_digit ? WHOLE : c == '.' ? POINT : BAD;
    case WHOLE:    return is_digit ? WHOLE : c == '.' ? POINT : c == 'e' ? EXPONENT : BAD;
    case POINT:
    case FRACTION: return is_digit ? FRACTION : c == 'e' ? EXPONENT : BAD;
    case EXPONENT: return is_digit || c == '-' || c == '+' ? POWER : BAD;
    case POWER:    return is_digit ? POWER : BAD;
    default:       return BAD;
    }
}

static uint16_t machine(uint16_t crc, uint32_t seed)
{
    static const char *const words[] = { "1234,", "-56.78,", "+.5e10,", "9e-3,", "x12,", "0.1.2,", "77e,", "-," };
    uint32_t ends[STATES] = { 0 }, passed[STATES] = { 0 };
    int length = 0;
    while (length < TEXT - 10) {
        seed = seed * 1103515245u + 12345u;
        for (const char *c = words[seed >> 20 & 7]; *c; c++)
            text[length++] = *c;
    }
    int state = START;
    for (int i = 0; i < length; i++) {
        if (text[i] == ',') {
            ends[state]++;
            state = START;
            continue;
        }
        state = step(state, text[i]);
        passed[state]++;
    }
    for (int i = 0; i < STATES; i++)
        crc = crc16(crc16(crc, ends[i]), passed[i]);
    return crc;
}

int main(int argc, char **argv)
{
    uint32_t rounds = argc > 1 ? (uint32_t)atoi(argv[1]) : 1;
    uint16_t crc = 0;
    for (uint32_t i = 0; i < rounds; i++) {
        crc = lists(crc, i);
        crc = matrices(crc, i);
        crc = machine(crc, i);
    }
    printf("kernels %u: %04x\n", (unsigned)rounds, crc);
    return 0;
}
