/* A second C library, in a namespace of its own, that hands out memory as well unless told not to. */
#include "planted.h"
#include <dlfcn.h>

int main(int argc, char **argv) {
    (void)argv;
    void *own = malloc(1000);
    void *library = dlmopen(LM_ID_NEWLM, "libc.so.6", RTLD_NOW);
    void *(*other_malloc)(size_t) = library ? (void *(*)(size_t))dlsym(library, "malloc") : NULL;
    void *volatile other = other_malloc && argc == 1 ? other_malloc(1000) : NULL;
    ready("%d %d", own != NULL && other_malloc != NULL, other != NULL);
    serve();
}
