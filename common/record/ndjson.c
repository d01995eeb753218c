/* SPDX-License-Identifier: MIT */
#include "record/ndjson.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "json/scan.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct slice {
	const char *data; /* in the line */
	size_t len;
};

struct ndjson {
	struct record_ops ops;
	void *arg;
	struct json_scan *scan;
	int failed;
	uint64_t line; /* from 1 */
	bool oversize;
	struct buf rest; /* of a line that goes on in the next piece */
	/* A line's records are given out when it turned out to be sound. */
	struct slice *found;
	size_t count, cap;
};

static bool on_found(void *arg, const char *data, size_t len)
{
	struct ndjson *nd = arg;
	if (nd->count == nd->cap) {
		size_t cap = MAX(nd->cap * 2, (size_t)16);
		struct slice *found = realloc(nd->found, cap * sizeof(*found));
		if (!found)
			return false;
		nd->found = found;
		nd->cap = cap;
	}
	nd->found[nd->count++] = (struct slice) { data, len };
	return true;
}

int ndjson_new(struct ndjson **out, const struct json_path *path, const struct record_ops *ops,
	void *arg, struct err *err)
{
	const struct json_scan_ops scan_ops = { .record = on_found };
	const struct json_scan_options options = { .path = path, .max_record = NDJSON_LINE_MAX };
	struct ndjson *nd = NEW(struct ndjson);
	if (!nd)
		return err_set(err, -ENOMEM, "ndjson: out of memory");
	int rc = json_scan_new(&nd->scan, &options, &scan_ops, nd, err);
	if (rc < 0) {
		ndjson_free(nd);
		return rc;
	}
	nd->ops = *ops;
	nd->arg = arg;
	nd->rest.max = NDJSON_LINE_MAX;
	ndjson_restart(nd);
	*out = nd;
	return 0;
}

void ndjson_free(struct ndjson *nd)
{
	if (!nd)
		return;
	json_scan_free(nd->scan);
	buf_finish(&nd->rest);
	free(nd->found);
	free(nd);
}

void ndjson_restart(struct ndjson *nd)
{
	nd->failed = 0;
	nd->line = 1;
	nd->oversize = false;
	buf_reset(&nd->rest);
}

static void reject(struct ndjson *nd, const char *why)
{
	char words[200];
	snprintf(words, sizeof(words), "line %" PRIu64 ": %s", nd->line, why);
	nd->ops.rejected(nd->arg, words);
}

static bool is_blank(const char *line, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (line[i] != ' ' && line[i] != '\t' && line[i] != '\r')
			return false;
	return true;
}

static int out_of_memory(struct ndjson *nd, struct err *err)
{
	return err_set(err, nd->failed = -ENOMEM, "ndjson: out of memory");
}

static int read_line(struct ndjson *nd, const char *line, size_t len, struct err *err)
{
	struct err why = { 0 };
	const char *missing;
	if (nd->line == 1 && len >= 3 && memcmp(line, "\xef\xbb\xbf", 3) == 0)
		line += 3, len -= 3;
	if (is_blank(line, len))
		return 0;
	nd->count = 0;
	json_scan_restart(nd->scan);
	int rc = json_scan_feed(nd->scan, line, len, &why);
	if (rc == 0)
		rc = json_scan_end(nd->scan, &why);
	if (rc == -ENOMEM || rc == -ECANCELED)
		return out_of_memory(nd, err);
	if (rc < 0) {
		reject(nd, why.text);
		return 0;
	}
	if ((missing = json_scan_missing(nd->scan))) {
		char words[160];
		snprintf(words, sizeof(words), "there is no \"%.100s\"", missing);
		reject(nd, words);
	}
	for (size_t i = 0; i < nd->count; i++)
		if (!nd->ops.record(nd->arg, nd->found[i].data, nd->found[i].len))
			return err_set(err, nd->failed = -ECANCELED, "ndjson: stopped");
	return 0;
}

static int end_line(struct ndjson *nd, const char *data, size_t len, struct err *err)
{
	char words[60];
	int rc = 0;
	nd->oversize |= nd->rest.len + len > NDJSON_LINE_MAX;
	if (nd->oversize) {
		snprintf(words, sizeof(words), "larger than %d bytes", NDJSON_LINE_MAX);
		reject(nd, words);
	} else if (nd->rest.len) {
		buf_add(&nd->rest, data, len);
		rc = buf_failed(&nd->rest) ? out_of_memory(nd, err)
					   : read_line(nd, nd->rest.data, nd->rest.len, err);
	} else {
		rc = read_line(nd, data, len, err);
	}
	buf_reset(&nd->rest);
	nd->oversize = false;
	nd->line++;
	return rc;
}

int ndjson_feed(struct ndjson *nd, const char *data, size_t len, struct err *err)
{
	const char *end;
	if (nd->failed)
		return err_set(err, nd->failed, "ndjson: reading has ended");
	while (len && (end = memchr(data, '\n', len))) {
		int rc = end_line(nd, data, (size_t)(end - data), err);
		if (rc < 0)
			return rc;
		len -= (size_t)(end + 1 - data);
		data = end + 1;
	}
	nd->oversize |= nd->rest.len + len > NDJSON_LINE_MAX;
	if (nd->oversize)
		buf_reset(&nd->rest);
	else
		buf_add(&nd->rest, data, len);
	return buf_failed(&nd->rest) ? out_of_memory(nd, err) : 0;
}

int ndjson_end(struct ndjson *nd, struct err *err)
{
	if (nd->failed)
		return err_set(err, nd->failed, "ndjson: reading has ended");
	return nd->rest.len || nd->oversize ? end_line(nd, "", 0, err) : 0;
}
