/* Recursion: Ackermann, permutations, mutual, through pointers, and deep enough to grow the stack. */
#include "check.h"
#include <stdlib.h>

static int ackermann(int m, int n) { return m == 0 ? n + 1 : ackermann(m - 1, n ? ackermann(m, n - 1) : 1); }

static int is_odd(unsigned n);
static int is_even(unsigned n) { return n == 0 ? 1 : is_odd(n - 1); }
static int is_odd(unsigned n) { return n == 0 ? 0 : is_even(n - 1); }

static void permute(char *text, int from, int length)
{
    if (from == length)
        for (int i = 0; i < length; i++)
            check((unsigned char)text[i]);
    for (int i = from; i < length; i++) {
        char kept = text[from]; text[from] = text[i]; text[i] = kept;
        permute(text, from + 1, length);
        kept = text[from]; text[from] = text[i]; text[i] = kept;
    }
}

static int deep(int depth)
{
    volatile char room[600];
    room[depth % 600] = (char)depth;
    return depth == 0 ? 0 : (room[depth % 600] == (char)depth) + deep(depth - 1);
}

typedef struct Tree { struct Tree *left, *right; int value; } Tree;

static Tree *insert(Tree *tree, int value)
{
    if (!tree) {
        tree = calloc(1, sizeof *tree);
        tree->value = value;
    } else if (value < tree->value)
        tree->left = insert(tree->left, value);
    else
        tree->right = insert(tree->right, value);
    return tree;
}

static int walk(Tree *tree, int (*visit)(int)) { return tree ? walk(tree->left, visit) + visit(tree->value) + walk(tree->right, visit) : 0; }
static int note(int value) { check((uint32_t)value); return 1; }

int main(void)
{
    char letters[] = "abcdefg";
    printf("%d %d %d\n", ackermann(2, 9), is_even(3000), is_odd(2999));
    permute(letters, 0, 7);
    check_print("permutations");
    printf("%d\n", deep(5000));
    Tree *tree = 0;
    for (int i = 0; i < 2000; i++)
        tree = insert(tree, (int)(random64() >> 40));
    printf("%d\n", walk(tree, note));
    check_print("tree");
    return 0;
}
