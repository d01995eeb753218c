/* SPDX-License-Identifier: MIT */
#include "collect/row.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "collect/kind.h"
#include "collect/template.h"
#include "config/config.h"
#include "store/store.h"
#include "json/path.h"
#include "json/record.h"
#include <errno.h>
#include <inttypes.h>
#include <regex.h>
#include <string.h>

enum {
	REGEX_TEXT_MAX = 65536, /* regexec() may need much time and memory for more */
	VALUE_MAX = 1024 * 1024,
};

/* A place of a value: {{run.id}}. */
enum piece_kind { PIECE_TEXT, PIECE_RUN_ID, PIECE_RUN_STARTED, PIECE_VALUE, PIECE_RECORD };
struct piece {
	enum piece_kind kind;
	const char *text; /* of TEXT; borrowed */
	size_t len;
	struct json_path *path; /* of RECORD */
};
struct field {
	const struct config_column *column;
	struct json_path *path;
	struct piece *pieces; /* of a value; NULL: it has a path */
	size_t piece_count;
	bool is_key, has_regex;
	regex_t regex;
};
struct condition {
	const struct collect_condition *spec;
	struct json_path *path;
	bool has_regex;
	regex_t regex;
};
struct row_maker {
	const struct config_job *job;
	const struct collect_job *spec;
	struct field *fields;
	struct condition *conditions;
};

/* ---- made ready ---- */

void row_maker_free(struct row_maker *m)
{
	if (!m)
		return;
	for (size_t i = 0; m->fields && i < m->spec->fields.count; i++) {
		struct field *f = &m->fields[i];
		json_path_free(f->path);
		for (size_t k = 0; k < f->piece_count; k++)
			json_path_free(f->pieces[k].path);
		free(f->pieces);
		if (f->has_regex)
			regfree(&f->regex);
	}
	for (size_t i = 0; m->conditions && i < m->spec->filter.count; i++) {
		json_path_free(m->conditions[i].path);
		if (m->conditions[i].has_regex)
			regfree(&m->conditions[i].regex);
	}
	free(m->fields);
	free(m->conditions);
	free(m);
}

static int make_regex(regex_t *regex, bool *has, const char *text, struct err *err)
{
	if (text && regcomp(regex, text, REG_EXTENDED) != 0)
		return err_set(err, -EINVAL, "its regular expression does not compile");
	*has = text != NULL;
	return 0;
}

/* In CSV a column's name is a name, whatever is in it. */
static int make_path(
	struct json_path **out, const struct row_maker *m, const char *text, struct err *err)
{
	return m->spec->format == FORMAT_CSV ? json_path_of_name(out, text, err)
					     : json_path_new(out, text, err);
}

static int make_place(struct piece *piece, const struct row_maker *m,
	const struct template_place *place, struct err *err)
{
	char path[JSON_PATH_NAME + 1];
	if (template_is(place, "run.id")) {
		piece->kind = PIECE_RUN_ID;
	} else if (template_is(place, "run.started_at")) {
		piece->kind = PIECE_RUN_STARTED;
	} else if (template_is(place, m->spec->for_each.as)) {
		piece->kind = PIECE_VALUE;
	} else {
		size_t prefix = strlen(TEMPLATE_RECORD);
		if (place->len <= prefix || place->len - prefix >= sizeof(path))
			return err_set(err, -EINVAL, "its value names what is not there");
		memcpy(path, place->name + prefix, place->len - prefix);
		path[place->len - prefix] = '\0';
		piece->kind = PIECE_RECORD;
		return make_path(&piece->path, m, path, err);
	}
	return 0;
}

static int make_pieces(struct field *f, const struct row_maker *m, struct err *err)
{
	const char *text = f->column->value;
	struct template_place place;
	size_t count = 1;
	for (const char *at = text; template_find(at, &place); at = place.end)
		count += 2;
	f->pieces = calloc(count, sizeof(*f->pieces));
	if (!f->pieces)
		return err_set(err, -ENOMEM, "out of memory");
	while (template_find(text, &place)) {
		f->pieces[f->piece_count++] = (struct piece) { .text = text,
			.len = (size_t)(place.begin - text) };
		int rc = make_place(&f->pieces[f->piece_count++], m, &place, err);
		if (rc < 0)
			return rc;
		text = place.end;
	}
	f->pieces[f->piece_count++] = (struct piece) { .text = text, .len = strlen(text) };
	return 0;
}

static int make_field(const struct row_maker *m, size_t i, struct err *err)
{
	const struct config_column *column = &(
		(const struct config_column *)m->spec->fields.items)[i];
	const struct config_strings *key = &m->job->store.key;
	struct field *f = &m->fields[i];
	f->column = column;
	for (size_t k = 0; k < key->count; k++)
		f->is_key |= str_eq_nocase(column->name, key->items[k]);
	int rc = column->value ? make_pieces(f, m, err) : make_path(&f->path, m, column->path, err);
	if (rc == 0)
		rc = make_regex(&f->regex, &f->has_regex, column->regex, err);
	return rc < 0 ? err_wrap(err, "field %s", column->name) : 0;
}

static int make_condition(const struct row_maker *m, size_t i, struct err *err)
{
	struct condition *c = &m->conditions[i];
	c->spec = &((const struct collect_condition *)m->spec->filter.items)[i];
	int rc = make_path(&c->path, m, c->spec->path, err);
	if (rc == 0)
		rc = make_regex(&c->regex, &c->has_regex, c->spec->matches, err);
	return rc < 0 ? err_wrap(err, "filter %zu", i + 1) : 0;
}

int row_maker_new(struct row_maker **out, const struct config_job *job, struct err *err)
{
	struct row_maker *m = NEW(struct row_maker);
	if (!m)
		return err_set(err, -ENOMEM, "out of memory");
	m->job = job;
	m->spec = job->spec;
	m->fields = calloc(m->spec->fields.count + 1, sizeof(*m->fields));
	m->conditions = calloc(m->spec->filter.count + 1, sizeof(*m->conditions));
	int rc = m->fields && m->conditions ? 0 : err_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; rc == 0 && i < m->spec->fields.count; i++)
		rc = make_field(m, i, err);
	for (size_t i = 0; rc == 0 && i < m->spec->filter.count; i++)
		rc = make_condition(m, i, err);
	if (rc < 0) {
		row_maker_free(m);
		return rc;
	}
	*out = m;
	return 0;
}

/* ---- regular expressions ---- */

/* The first group, or all that fits when there is none. @return 1; 0: it does not fit; -EINVAL */
static int match(const regex_t *regex, const char *text, size_t len, const char **found,
	size_t *found_len, struct err *err)
{
	regmatch_t at[2];
	if (len > REGEX_TEXT_MAX)
		return err_set(err, -EINVAL,
			"a text of %zu bytes is too long for a regular expression", len);
	if (regexec(regex, text, 2, at, 0) != 0)
		return 0;
	const regmatch_t *part = regex->re_nsub > 0 ? &at[1] : &at[0];
	if (part->rm_so < 0)
		return 0;
	*found = text + part->rm_so;
	*found_len = (size_t)(part->rm_eo - part->rm_so);
	return 1;
}

/* ---- the filter ---- */

static bool is_one_of(const struct config_strings *texts, const struct json_value *value)
{
	for (size_t i = 0; i < texts->count; i++)
		if (value->type == JSON_VALUE_TEXT && strlen(texts->items[i]) == value->len &&
			memcmp(texts->items[i], value->text, value->len) == 0)
			return true;
	return false;
}

/* @return 1: the record is wanted as far as this goes, 0: not; -EINVAL */
static int holds(const struct condition *c, struct json_record *record, struct err *err)
{
	static const char name[] = "filter";
	const struct collect_condition *spec = c->spec;
	const struct config_column column = { .name = name, .type = COLUMN_TEXT };
	struct json_value value = { 0 };
	const char *found;
	size_t len;
	if (spec->exists != EXISTS_ANY &&
		json_record_has(record, c->path) != (spec->exists == EXISTS_TRUE))
		return 0;
	if (!spec->is.count && !spec->is_not.count && !c->has_regex)
		return 1;
	int rc = json_record_column(record, &column, c->path, &value, err);
	if (rc < 0)
		return rc;
	if (spec->is.count && !is_one_of(&spec->is, &value))
		return 0;
	if (spec->is_not.count && is_one_of(&spec->is_not, &value))
		return 0;
	if (!c->has_regex)
		return 1;
	return value.type == JSON_VALUE_TEXT
		       ? match(&c->regex, value.text, value.len, &found, &len, err)
		       : 0;
}

/* ---- values ---- */

/* @return 1; 0: a part is null, and so is the whole; -EINVAL */
static int add_piece(struct buf *text, const struct piece *piece, const struct row_context *context,
	struct json_record *record, const char *name, struct err *err)
{
	const struct config_column column = { .name = name, .type = COLUMN_TEXT };
	struct json_value value;
	char time[40];
	int rc;
	switch (piece->kind) {
	case PIECE_TEXT: buf_add(text, piece->text, piece->len); return 1;
	case PIECE_RUN_ID: buf_addf(text, "%" PRId64, context->run_id); return 1;
	case PIECE_RUN_STARTED:
		buf_add_str(text, clock_rfc3339(time, context->run_started_ms));
		return 1;
	case PIECE_VALUE: buf_add_str(text, context->value ? context->value : ""); return 1;
	case PIECE_RECORD: break;
	}
	rc = json_record_column(record, &column, piece->path, &value, err);
	if (rc < 0 || value.type == JSON_VALUE_NULL)
		return rc < 0 ? rc : 0;
	buf_add(text, value.text, value.len);
	return 1;
}

/* The text of a value as it stands in the configuration, each place filled. */
static int expand(const struct field *f, const struct row_context *context,
	struct json_record *record, struct arena *arena, struct json_value *out, struct err *err)
{
	CLEANUP(buf_finish) struct buf text = { .max = VALUE_MAX };
	for (size_t i = 0; i < f->piece_count; i++) {
		int rc = add_piece(&text, &f->pieces[i], context, record, f->column->name, err);
		if (rc <= 0)
			return rc;
	}
	if (buf_failed(&text))
		return err_set(
			err, -EINVAL, "field %s: larger than %d bytes", f->column->name, VALUE_MAX);
	const char *copy = arena_strndup(arena, buf_str(&text), text.len);
	*out = (struct json_value) { .type = JSON_VALUE_TEXT, .text = copy, .len = text.len };
	return copy ? 0 : err_set(err, -ENOMEM, "out of memory");
}

static int take_match(
	const struct field *f, struct arena *arena, struct json_value *value, struct err *err)
{
	const char *found = NULL;
	size_t len = 0;
	int rc = match(&f->regex, value->text, value->len, &found, &len, err);
	if (rc < 0)
		return err_wrap(err, "field %s", f->column->name);
	if (rc == 0) {
		*value = (struct json_value) { .type = JSON_VALUE_NULL };
		return 0;
	}
	const char *copy = arena_strndup(arena, found, len);
	*value = (struct json_value) { .type = JSON_VALUE_TEXT, .text = copy, .len = len };
	return copy ? 0 : err_set(err, -ENOMEM, "out of memory");
}

static int take_value(const struct field *f, const struct row_context *context,
	struct json_record *record, struct arena *arena, struct json_value *out, struct err *err)
{
	if (!f->pieces && !f->has_regex)
		return json_record_raw(record, f->column, f->path, out, err);
	struct config_column as_text = *f->column;
	as_text.type = COLUMN_TEXT;
	*out = (struct json_value) { .type = JSON_VALUE_NULL };
	int rc = f->pieces ? expand(f, context, record, arena, out, err)
			   : json_record_column(record, &as_text, f->path, out, err);
	if (rc == 0 && f->has_regex && out->type == JSON_VALUE_TEXT)
		rc = take_match(f, arena, out, err);
	if (rc < 0 || out->type == JSON_VALUE_NULL)
		return rc;
	return json_text_column(f->column, out->text, out->len, out, err);
}

/* ---- rows ---- */

static int keep_bytes(struct arena *arena, const struct json_value *from, struct store_value *to)
{
	unsigned char *bytes = arena_alloc(arena, from->len / 4 * 3 + 2);
	ssize_t len = bytes ? json_base64(bytes, from->text, from->len) : 0;
	*to = store_bytes(bytes, len > 0 ? (size_t)len : 0, STORE_BLOB);
	return bytes ? 0 : -ENOMEM;
}

/* Texts live in the record: they move to the batch. */
static int keep(struct arena *arena, const struct json_value *from, struct store_value *to)
{
	switch (from->type) {
	case JSON_VALUE_NULL: *to = STORE_VALUE_NULL; return 0;
	case JSON_VALUE_INT: *to = STORE_VALUE_INT(from->i); return 0;
	case JSON_VALUE_REAL: *to = STORE_VALUE_REAL(from->real); return 0;
	case JSON_VALUE_BASE64: return keep_bytes(arena, from, to);
	case JSON_VALUE_TEXT: break;
	}
	const char *copy = arena_strndup(arena, from->text, from->len);
	*to = store_bytes(copy, from->len, STORE_TEXT);
	return copy ? 0 : -ENOMEM;
}

int row_make(const struct row_maker *m, const struct row_context *context,
	struct json_record *record, struct arena *arena, struct store_value *row, struct err *err)
{
	if (!json_record_is_object(record))
		return err_set(err, -EINVAL, "not an object");
	for (size_t i = 0; i < m->spec->filter.count; i++) {
		int rc = holds(&m->conditions[i], record, err);
		if (rc <= 0)
			return rc < 0 ? rc : ROW_FILTERED;
	}
	for (size_t i = 0; i < m->spec->fields.count; i++) {
		const struct field *f = &m->fields[i];
		struct json_value value;
		int rc = take_value(f, context, record, arena, &value, err);
		if (rc < 0)
			return rc;
		if (value.type == JSON_VALUE_NULL && f->is_key)
			return err_set(
				err, -EINVAL, "field %s: a key cannot be empty", f->column->name);
		if (keep(arena, &value, &row[i]) < 0)
			return err_set(err, -ENOMEM, "out of memory");
	}
	return ROW_MADE;
}
