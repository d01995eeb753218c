/* SPDX-License-Identifier: MIT */
#pragma once
/* Rows as people see them: times and truth by their names, bytes as \x and hexadecimal digits. */
struct json_out;
struct store_table;
struct store_value;

/** One object, with a member for each column. */
void rows_row(
	struct json_out *out, const struct store_table *table, const struct store_value *values);
