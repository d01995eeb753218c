/* SPDX-License-Identifier: MIT */
/*
 * Whatever fields hold, a record is one line of JSON of at most LOG_RECORD_MAX bytes, in UTF-8,
 * without control characters. Input: one byte of settings, then texts that end with NUL: process,
 * event, and by turns key and value.
 */
#include "base/str.h"
#include "log/log.h"
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { FIELDS = 80 };

static void demand(int holds)
{
	if (!holds)
		abort();
}

static void judge(const char *line, size_t len)
{
	demand(len > 0 && len <= LOG_RECORD_MAX && line[len - 1] == '\n');
	demand(str_is_utf8(line, len, NULL));
	for (size_t i = 0; i + 1 < len; i++) {
		unsigned char c = (unsigned char)line[i];
		demand(c >= 0x20 && c != 0x7F);
		demand(!(c == 0xC2 && (unsigned char)line[i + 1] < 0xA0));
	}
	json_t *json = json_loadb(line, len, 0, NULL);
	demand(json_is_object(json));
	demand(json_is_string(json_object_get(json, "msg")));
	json_decref(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *texts[2 * FIELDS + 2] = { "", "" };
	struct kv fields[FIELDS + 1] = { 0 };
	char line[LOG_RECORD_MAX];
	size_t count = 0;
	if (size < 2)
		return 0;
	uint8_t settings = data[0];
	char *copy = malloc(size);
	demand(copy != NULL);
	memcpy(copy, data + 1, size - 1);
	copy[size - 1] = '\0';
	for (char *p = copy; p < copy + size && count < 2 * FIELDS + 2; p += strlen(p) + 1)
		texts[count++] = p;
	for (size_t i = 0; 2 * i + 3 < count; i++) {
		const char *key = texts[2 * i + 2], *value = texts[2 * i + 3];
		int64_t number = (int64_t)(str_hash(value, strlen(value)));
		switch (key[0] & 7) {
		case 0: fields[i] = KV_INT(key, number); break;
		case 1: fields[i] = KV_BOOL(key, number & 1); break;
		case 2: fields[i] = KV_REAL(key, (double)number / 3); break;
		default: fields[i] = KV_STR(key, value); break;
		}
	}
	judge(line, log_render(line, (enum log_level)(settings & 3),
			    (enum log_category)((settings >> 2) % LOG_CATEGORIES), texts[0],
			    (int64_t)settings * 1000003, texts[1], fields));
	free(copy);
	return 0;
}
