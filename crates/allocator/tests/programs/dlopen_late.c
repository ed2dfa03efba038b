// Opens the library given as argument into a process that runs already.

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int count, char **arguments) {
    if (count != 2) return 2;
    void *before = memset(malloc(100000), 1, 100000);
    void *library = dlopen(arguments[1], RTLD_NOW | RTLD_GLOBAL);
    if (library) printf("opened\n");
    else printf("%s\n", dlerror());
    free(before);
    for (int i = 0; i < 1000; i++) free(memset(malloc(i * 100 + 1), 1, i * 100 + 1));
    printf("malloc still serves\n");
    return 0;
}
