/* A second C library, in a namespace of its own, that hands out memory as well. */
#include "planted.h"
#include <dlfcn.h>

int main(void) {
    void *own = malloc(1000);
    void *library = dlmopen(LM_ID_NEWLM, "libc.so.6", RTLD_NOW);
    void *(*other_malloc)(size_t) = library ? (void *(*)(size_t))dlsym(library, "malloc") : NULL;
    void *other = other_malloc ? other_malloc(1000) : NULL;
    ready("%d", own != NULL && other != NULL);
    serve();
}
