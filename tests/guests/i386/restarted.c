#include "../x86_64/restarted.c"
