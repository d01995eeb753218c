/* SPDX-License-Identifier: MIT */
/*
 * The readers of CSV and NDJSON, in pieces; each record of a CSV text is a JSON object that the
 * record reader takes. Input: a byte for format and dialect, one for the pieces, the text.
 */
#include "record_pieces.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *given[] = { "a", "b" };
	const struct config_strings none = { 0 }, two = { given, 2 };
	if (size < 2)
		return 0;
	const struct record_options options = {
		.format = data[0] & 1 ? RECORD_NDJSON : RECORD_CSV,
		.csv = { .delimiter = data[0] & 2 ? ';' : ',',
			.quote = data[0] & 4 ? '\0' : '"',
			.columns = data[0] & 8 ? &two : &none,
			.skip = data[0] >> 4 & 3 },
	};
	demand_same_in_pieces(&options, (const char *)data + 2, size - 2, 1 + data[1] % 16);
	return 0;
}
