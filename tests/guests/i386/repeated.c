#include "../x86_64/repeated.c"
