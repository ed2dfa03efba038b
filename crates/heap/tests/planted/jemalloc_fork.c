/* Forks a child that holds what its parent held, frees half of it and allocates of its own. Says the
 * child's pid; the commands are answered by the child. */
enum { BLOCKS = 4000 };
static void *blocks[BLOCKS];

int main(void) {
    for (int i = 0; i < BLOCKS; i++) blocks[i] = touched(1 + next_random(8000));
    pid_t child = fork();
    if (child == 0) {
        for (int i = 0; i < BLOCKS; i += 2) free(blocks[i]);
        void *volatile own = touched(3 << 20);
        ready("%d", getpid());
        serve_books();
        return own == NULL;
    }
    for (;;) pause();
}
