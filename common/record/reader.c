/* SPDX-License-Identifier: MIT */
#include "record/reader.h"

#include "base/err.h"
#include "base/mem.h"
#include "record/csv.h"
#include "record/ndjson.h"
#include "record/xml.h"
#include "json/path.h"
#include "json/scan.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

struct record_reader {
	enum record_format format;
	struct record_ops ops;
	void *arg;
	struct json_scan *json;
	struct ndjson *ndjson;
	struct csv *csv;
	struct xml *xml;
};

static bool on_json(void *arg, const char *data, size_t len)
{
	const struct record_reader *r = arg;
	return r->ops.record(r->arg, data, len);
}

static bool on_json_read(void *arg, const char *data, size_t len)
{
	const struct record_reader *r = arg;
	return r->ops.read(r->arg, data, len);
}

static void on_too_large(void *arg, uint64_t offset)
{
	const struct record_reader *r = arg;
	char why[96];
	snprintf(why, sizeof(why), "larger than %d bytes, at byte %" PRIu64, JSON_RECORD_MAX,
		offset);
	r->ops.rejected(r->arg, why);
}

static int make(struct record_reader *r, const struct record_options *options, struct err *err)
{
	const struct json_scan_ops ops = {
		.record = on_json, .read = on_json_read, .too_large = on_too_large
	};
	const struct json_scan_options scan = { .path = options->path, .record = options->record };
	switch (r->format) {
	case RECORD_JSON: return json_scan_new(&r->json, &scan, &ops, r, err);
	case RECORD_NDJSON: return ndjson_new(&r->ndjson, options->path, &r->ops, r->arg, err);
	case RECORD_XML: return xml_new(&r->xml, options->path, &r->ops, r->arg, err);
	case RECORD_CSV: break;
	}
	return csv_new(&r->csv, &options->csv, &r->ops, r->arg) < 0
		       ? err_set(err, -ENOMEM, "csv: out of memory")
		       : 0;
}

int record_reader_new(struct record_reader **out, const struct record_options *options,
	const struct record_ops *ops, void *arg, struct err *err)
{
	struct record_reader *r = NEW(struct record_reader);
	if (!r)
		return err_set(err, -ENOMEM, "records: out of memory");
	r->format = options->format;
	r->ops = *ops;
	r->arg = arg;
	int rc = make(r, options, err);
	if (rc < 0) {
		record_reader_free(r);
		return rc;
	}
	*out = r;
	return 0;
}

void record_reader_free(struct record_reader *r)
{
	if (!r)
		return;
	json_scan_free(r->json);
	ndjson_free(r->ndjson);
	csv_free(r->csv);
	xml_free(r->xml);
	free(r);
}

void record_reader_restart(struct record_reader *r)
{
	switch (r->format) {
	case RECORD_JSON: json_scan_restart(r->json); break;
	case RECORD_NDJSON: ndjson_restart(r->ndjson); break;
	case RECORD_CSV: csv_restart(r->csv); break;
	case RECORD_XML: xml_restart(r->xml); break;
	}
}

int record_reader_feed(struct record_reader *r, const char *data, size_t len, struct err *err)
{
	switch (r->format) {
	case RECORD_JSON: return json_scan_feed(r->json, data, len, err);
	case RECORD_NDJSON: return ndjson_feed(r->ndjson, data, len, err);
	case RECORD_XML: return xml_feed(r->xml, data, len, err);
	case RECORD_CSV: break;
	}
	return csv_feed(r->csv, data, len, err);
}

int record_reader_end(struct record_reader *r, struct err *err)
{
	switch (r->format) {
	case RECORD_JSON: return json_scan_end(r->json, err);
	case RECORD_NDJSON: return ndjson_end(r->ndjson, err);
	case RECORD_XML: return xml_end(r->xml, err);
	case RECORD_CSV: break;
	}
	return csv_end(r->csv, err);
}

const char *record_reader_missing(const struct record_reader *r)
{
	return r->json ? json_scan_missing(r->json) : r->xml ? xml_missing(r->xml) : NULL;
}
