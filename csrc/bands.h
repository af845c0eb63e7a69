/* bands.h - stages run in bands of lines: which lines each step makes for which band. */
#ifndef MINIMESO_BANDS_H
#define MINIMESO_BANDS_H

#include "layout.h"

int64_t mm_bands(const mm_program *p, const mm_stage *stage);

/* The lines of its output that each step of a stage must have for a band; some it may have from the
   band before. */
void mm_lines_of_band(const mm_program *p, const mm_stage *stage, int64_t number, mm_range *own);

/* About how many bands' time it costs to begin in the middle of a stage: the lines that the band
   before would have left in the rings are made once more.  0 to mm_bands. */
int64_t mm_lost_bands(const mm_program *p, const mm_stage *stage);

/* mm_measure_stage of a stage whose steps can be measured. */
int mm_ring_lines(const mm_program *p, const mm_stage *stage, int64_t *ring_lines);

#endif
