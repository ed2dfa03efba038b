/* Handshake of a planted program with its test: `ready` once, then one `reply` per `next_command`.
 *
 * Invariant: nothing here allocates or uses stdio, so that the heap a test looks at holds only what
 * the program itself put there. */
#ifndef PLANTED_H
#define PLANTED_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <malloc.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char planted_line[1 << 16];

static void planted_put(const char *text, size_t length) {
    while (length > 0) {
        ssize_t written = write(1, text, length);
        if (written <= 0) _exit(3);
        text += written;
        length -= (size_t)written;
    }
}

/* A printf without stdio: %s, %d, %u, %x (each also with l or z), %p and %%. */
static void planted_format(const char *format, va_list arguments) {
    static char out[1 << 16];
    size_t n = 0;
    for (const char *c = format; *c != 0 && n < sizeof out - 64; c++) {
        if (*c != '%') {
            out[n++] = *c;
            continue;
        }
        int wide = 0;
        for (c++; *c == 'l' || *c == 'z'; c++) wide = 1;
        if (*c == '%') {
            out[n++] = '%';
        } else if (*c == 's') {
            for (const char *s = va_arg(arguments, const char *); *s != 0 && n < sizeof out - 64;) out[n++] = *s++;
        } else {
            unsigned base = *c == 'x' || *c == 'p' ? 16 : 10;
            uint64_t value;
            if (*c == 'p') {
                value = (uint64_t)(uintptr_t)va_arg(arguments, void *);
                out[n++] = '0';
                out[n++] = 'x';
            } else if (*c == 'd') {
                int64_t number = wide ? va_arg(arguments, long) : va_arg(arguments, int);
                if (number < 0) out[n++] = '-';
                value = number < 0 ? -(uint64_t)number : (uint64_t)number;
            } else {
                value = wide ? va_arg(arguments, unsigned long) : va_arg(arguments, unsigned);
            }
            char digits[24];
            size_t k = 0;
            do digits[k++] = "0123456789abcdef"[value % base];
            while ((value /= base) != 0);
            while (k > 0) out[n++] = digits[--k];
        }
    }
    out[n++] = '\n';
    planted_put(out, n);
}

/* Sends one line in answer to the command just read. */
__attribute__((format(printf, 1, 2), unused)) static void reply(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    planted_format(format, arguments);
    va_end(arguments);
}

/* Says that everything is in place. Text given here is what `Target::greeting` returns. */
__attribute__((format(printf, 1, 2), unused)) static void ready(const char *format, ...) {
    va_list arguments;
    planted_put("ready ", 6);
    va_start(arguments, format);
    planted_format(format, arguments);
    va_end(arguments);
}

/* The next command without its line end, valid until the next call; NULL when the test is done. */
__attribute__((unused)) static const char *next_command(void) {
    size_t n = 0;
    while (n < sizeof planted_line - 1) {
        ssize_t got = read(0, planted_line + n, 1);
        if (got <= 0) return NULL;
        if (planted_line[n] == '\n') break;
        n++;
    }
    planted_line[n] = 0;
    return planted_line;
}

/* Whether a command is this word. */
__attribute__((unused)) static int is(const char *command, const char *word) { return strcmp(command, word) == 0; }

/* Serves until the test is done, answering every command with an empty line. */
__attribute__((unused)) static void serve(void) {
    while (next_command() != NULL) reply("%s", "");
}

#endif
