/* SPDX-License-Identifier: MIT */
#include "oneshot/rows.h"

#include "base/json_out.h"
#include "base/mem.h"
#include "base/str.h"
#include "config/config.h"
#include "store/store.h"
#include <stdlib.h>

static void write_bytes(struct json_out *out, const char *name, const struct store_value *v)
{
	char *hex = malloc(2 * v->len + 3);
	if (!hex) {
		out->buf->failed = true;
		return;
	}
	hex[0] = '\\';
	hex[1] = 'x';
	str_hex(hex + 2, v->data, v->len);
	json_str(out, name, hex);
	free(hex);
}

static void write_value(
	struct json_out *out, const struct store_column *column, const struct store_value *v)
{
	if (v->type == STORE_NULL)
		json_none(out, column->name);
	else if (column->type == COLUMN_TIMESTAMP)
		json_time(out, column->name, v->i);
	else if (column->type == COLUMN_BOOLEAN)
		json_bool(out, column->name, v->i != 0);
	else if (column->type == COLUMN_JSON)
		json_raw(out, column->name, v->data, v->len);
	else if (v->type == STORE_INT)
		json_int(out, column->name, v->i);
	else if (v->type == STORE_REAL)
		json_double(out, column->name, v->real);
	else if (v->type == STORE_BLOB)
		write_bytes(out, column->name, v);
	else
		json_strn(out, column->name, v->data, v->len);
}

void rows_row(
	struct json_out *out, const struct store_table *table, const struct store_value *values)
{
	json_open_object(out, NULL);
	for (size_t i = 0; i < table->column_count; i++)
		write_value(out, &table->columns[i], &values[i]);
	json_close_object(out);
}
