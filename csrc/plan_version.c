/* plan_version.c - whether a plan file is one of this engine: checksums of it, and of the names of
   all that its numbers stand for. */
#include "plan_file.h"

#include "minimeso.h"

/* Four bits at a time. */
uint32_t mm_crc32(const unsigned char *p, size_t bytes)
{
    static const uint32_t table[16] = {
        0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
        0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
        0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
    };
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < bytes; i++) {
        crc ^= p[i];
        crc = table[crc & 15] ^ crc >> 4;
        crc = table[crc & 15] ^ crc >> 4;
    }
    return ~crc;
}

#define MM_TEXT(field) #field ","
#define MM_TEXT_AT(field, i) #field "[" #i "],"
#define MM_TEXT_OF(name, ...) #name ","

uint32_t mm_plan_version(void)
{
    static const char names[] =
        MM_PLAN_COUNTS(MM_TEXT) MM_PLAN_TENSOR(MM_TEXT) MM_PLAN_STEP(MM_TEXT, MM_TEXT, MM_TEXT_AT)
            MM_PLAN_STAGE(MM_TEXT) MM_OPERATORS(MM_TEXT_OF) MM_ACTIVATIONS(MM_TEXT_OF);
    return mm_crc32((const unsigned char *)names, sizeof names);
}
