/* Allocates and frees without Python: what threads do when nothing but malloc makes them wait. */
#include <stdlib.h>

void churn(long n_pairs) {
    void *kept[16] = {0};
    for (long n = 0; n < n_pairs; n++) {
        void **place = &kept[n % 16];
        free(*place);
        *place = malloc(100 + n % 900);
    }
    for (int n = 0; n < 16; n++)
        free(kept[n]);
}
