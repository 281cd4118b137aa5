#include <stdio.h>

int main(void) {
#ifdef __wasm__
    puts("Hello from the light hull");
#else
    puts("Hello from the large hull");
#endif
    return 0;
}
