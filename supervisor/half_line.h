/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * A half line that a dead instance left is ended and marked before the next one writes (L1). While
 * nobody writes, what waits in the FIFO tells by its last byte whether there is one, and the mark
 * can follow it in the FIFO itself: no drover-log is needed for that. Only when the FIFO is empty
 * the file must be asked.
 */
#include <stdbool.h>
#include <stddef.h>

enum half_line {
	HALF_LINE_NONE,	   /* the FIFO's last byte ends a line: also when a mark was just written
			      behind it */
	HALF_LINE_IN_FILE, /* all is in the file, or on its way: drover-log knows its last byte */
	HALF_LINE_NO_ROOM, /* there is a half line, and the mark does not fit behind it */
};

/**
 * Nobody may write to the FIFO meanwhile; drover-log may read.
 * @param aux  a pipe of the caller's, not blocking, empty before and afterwards
 */
enum half_line half_line_end(int fifo, const int aux[2]);
/** Puts a whole line behind what is in the FIFO. aux as above. @return false: there is no room for
 * it */
bool half_line_put(int fifo, const int aux[2], const char *text, size_t len);
