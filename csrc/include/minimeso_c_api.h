/* minimeso_c_api.h - runs networks from C, without Python.

   `minimeso export --plan MODEL OUT/` makes a plan of a network: a file that holds its weights and
   how it runs on inputs of one size.  Any number of networks may run side by side, in any threads;
   one of them is for one call at a time.  Where it has threads of its own it does not outlive a
   fork: the child opens it again.  Nothing is printed, no signal handler set, no environment read;
   memory is allocated by minimeso_open alone, and by the first minimeso_run with more items.

   Functions that are told of something that may not be return MINIMESO_OK or a negative number;
   pointers are the caller's to get right: none may be NULL but that of minimeso_close.

   Link with the library that minimeso.get_library() names, with -lm and -pthread; `minimeso export
   --library MODEL OUT/` makes a shared one. */
#ifndef MINIMESO_C_API_H
#define MINIMESO_C_API_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__) && !defined(_WIN32)
#pragma GCC visibility push(default) /* a shared library shows these alone */
#endif

/* Grows when something is added; what is there stays as it is.  The function tells that of the
   library. */
#define MINIMESO_C_API_VERSION 2
int minimeso_api_version(void);

enum {
    MINIMESO_OK = 0,
    MINIMESO_NO_MEMORY = -1,
    MINIMESO_BAD_PLAN = -2,   /* damaged, hostile, or made by another version */
    MINIMESO_NO_ISA = -3,     /* this machine or build lacks the instruction set */
    MINIMESO_NO_THREADS = -4, /* the system gave no thread */
    MINIMESO_NO_SUCH = -5     /* no input or output of that number, or a count below 0 */
};

typedef struct minimeso_network minimeso_network;

/* An input or output.  shape: (C, H, W) or, where rank is 1, (F) float; where is_bytes is set
   (H, W, C) uint8_t, RGB from 0 to 255, the top left pixel first.  The last index is the next
   element in memory, with nothing between. */
typedef struct {
    const char *name; /* as long as the network is open */
    int is_bytes;
    int rank;
    int64_t shape[3];
    size_t bytes; /* of one item: all elements of the shape */
} minimeso_array;

/* Reads a plan of so many bytes, which may go afterwards.  threads: that work on a call, the
   caller's among them, 1 or more.  *network is NULL where it fails. */
int minimeso_open(const void *plan, size_t bytes, int threads, minimeso_network **network);
void minimeso_close(minimeso_network *network);

/* scalar, sse2, avx2, avx512 or neon; at first the fastest that this machine has. */
const char *minimeso_isa(const minimeso_network *network);
int minimeso_set_isa(minimeso_network *network, const char *isa);

int minimeso_input_count(const minimeso_network *network);
int minimeso_output_count(const minimeso_network *network);
int minimeso_input(const minimeso_network *network, int number, minimeso_array *array);
int minimeso_output(const minimeso_network *network, int number, minimeso_array *array);

/* Of a network that judges faces: it has one output, p_fake, one float for an item; up to *real
   says real, *fake and more say fake.  MINIMESO_NO_SUCH for others. */
int minimeso_thresholds(const minimeso_network *network, float *real, float *fake);

/* Runs it on `count` items, which lie one behind the other in each array: inputs[i] has count *
   bytes of input i, and output i is written to outputs[i].  An item's result does not depend on the
   others, nor on the number of threads. */
int minimeso_run(minimeso_network *network, const void *const *inputs, float *const *outputs,
                 int64_t count);

/* What a status means, in English. */
const char *minimeso_error(int status);

#if defined(__GNUC__) && !defined(_WIN32)
#pragma GCC visibility pop
#endif

#ifdef __cplusplus
}
#endif

#endif
