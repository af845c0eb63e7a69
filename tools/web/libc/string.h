/* string.h - of the C library's, what an exported network asks for; judge.c defines it. */
#ifndef WEB_STRING_H
#define WEB_STRING_H
#include <stddef.h>
void *memcpy(void *to, const void *from, size_t n);
void *memmove(void *to, const void *from, size_t n);
void *memset(void *to, int value, size_t n);
int strcmp(const char *a, const char *b);
#endif
