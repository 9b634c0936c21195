#include "../x86_64/locked.c"
