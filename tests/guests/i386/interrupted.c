#include "../x86_64/interrupted.c"
