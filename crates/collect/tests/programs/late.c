/* A program that is attached to: keeps blocks of a known size when it is told to, and can park a thread
 * inside the loader. */
#define _GNU_SOURCE
#include "planted.h"
#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <semaphore.h>

static sem_t parked, go_on;

static int park(struct dl_phdr_info *info, size_t size, void *data) {
    (void)info, (void)size, (void)data;
    sem_post(&parked);
    sem_wait(&go_on);
    return 1;
}

static void *in_loader(void *unused) {
    dl_iterate_phdr(park, unused);
    return NULL;
}

int main(void) {
    pthread_t thread;
    sem_init(&parked, 0, 0);
    sem_init(&go_on, 0, 0);
    void *volatile kept;
    ready("%p", (void *)&kept);
    for (;;) {
        char *command = next_command();
        if (strcmp(command, "keep") == 0) {
            for (int n = 0; n < 100; n++) kept = malloc(7000 + n);
            reply("kept");
        } else if (strcmp(command, "load") == 0) {
            /* What it allocates when it is asked, it asks its own malloc for. */
            void *library = dlopen("libresolv.so.2", RTLD_NOW);
            reply("%s", library ? "loaded" : dlerror());
        } else if (strcmp(command, "park") == 0) {
            pthread_create(&thread, NULL, in_loader, NULL);
            sem_wait(&parked);
            reply("parked");
        } else if (strcmp(command, "drop") == 0) {
            reply("nothing");
        } else {
            sem_post(&go_on);
            pthread_join(thread, NULL);
            reply("gone on");
        }
    }
}
