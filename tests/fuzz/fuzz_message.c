/* SPDX-License-Identifier: MIT */
/*
 * Any packet is decoded or refused, and what was decoded is encoded to the same bytes again. Input:
 * one byte of direction, the packet.
 */
#include "base/buf.h"
#include "base/err.h"
#include "ipc/messages.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void demand(int holds)
{
	if (!holds)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct message m;
	struct err err = { 0 };
	struct buf again = BUF_INIT;
	if (size == 0)
		return 0;
	/* A copy of exactly its size, so that a read beyond it is seen. */
	char *packet = malloc(size);
	demand(packet != NULL);
	memcpy(packet, data + 1, size - 1);
	int rc = message_decode(
		&m, packet, size - 1, (enum message_direction)(data[0] % (TO_CLIENT + 1)), &err);
	if (rc == 0) {
		demand(message_encode(&again, m.id, &m.body) == 0);
		demand(again.len == size - 1 && memcmp(again.data, data + 1, size - 1) == 0);
		demand(strcmp(message_name(m.id), "?") != 0);
	} else {
		demand(err.text[0] != '\0');
	}
	buf_finish(&again);
	free(packet);
	return 0;
}
