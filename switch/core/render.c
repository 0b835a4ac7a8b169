/* SPDX-License-Identifier: BSD-3-Clause */

/* JSON as a person reads it: tables and "key: value" lines. */

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "answer.h"

#define COLUMNS_MAX 32

struct table {
	unsigned int columns;
	const char *key[COLUMNS_MAX];
	size_t width[COLUMNS_MAX];
	bool number[COLUMNS_MAX]; /* all its values are numbers: align right */
};

/* One value on one line; to be freed. */
static char *
value_text(const json_t *value)
{
	char *text = NULL;
	int rc = 0;
	if (value == NULL || json_is_null(value))
		rc = asprintf(&text, "-");
	else if (json_is_string(value))
		rc = asprintf(&text, "%s", json_string_value(value));
	else if (json_is_integer(value))
		rc = asprintf(&text, "%lld", (long long)json_integer_value(value));
	else if (json_is_real(value))
		rc = asprintf(&text, "%.1f", json_real_value(value));
	else if (json_is_boolean(value))
		rc = asprintf(&text, "%s", json_is_true(value) ? "yes" : "no");
	else
		text = json_dumps(value, JSON_COMPACT);
	return rc < 0 ? NULL : text;
}

static unsigned int
find_column(struct table *t, const char *key)
{
	unsigned int c = 0;
	while (c < t->columns && strcmp(t->key[c], key) != 0)
		c++;
	if (c == t->columns && c < COLUMNS_MAX) {
		t->key[c] = key;
		t->width[c] = strlen(key);
		t->number[c] = true;
		t->columns++;
	}
	return c;
}

static void
measure(struct table *t, json_t *rows)
{
	size_t i;
	json_t *row, *value;
	const char *key;
	json_array_foreach (rows, i, row) {
		json_object_foreach (row, key, value) {
			unsigned int c = find_column(t, key);
			char *text = value_text(value);
			size_t width = text != NULL ? strlen(text) : 0;
			free(text);
			if (c == COLUMNS_MAX)
				continue;
			t->number[c] = t->number[c] && json_is_number(value);
			t->width[c] = width > t->width[c] ? width : t->width[c];
		}
	}
}

static void
print_cell(FILE *out, const struct table *t, unsigned int c, const char *text)
{
	bool last = c + 1 == t->columns;
	if (t->number[c])
		fprintf(out, "%*s", (int)t->width[c], text);
	else
		fprintf(out, "%-*s", last ? 0 : (int)t->width[c], text);
	fputs(last ? "\n" : "  ", out);
}

static void
print_table(FILE *out, json_t *rows)
{
	struct table t = {0};
	size_t i;
	json_t *row;
	measure(&t, rows);
	for (unsigned int c = 0; c < t.columns; c++) {
		char header[64];
		size_t n = 0;
		for (; t.key[c][n] != '\0' && n < sizeof(header) - 1; n++)
			header[n] = t.key[c][n] == '_' ? ' '
						       : (char)toupper((unsigned char)t.key[c][n]);
		header[n] = '\0';
		print_cell(out, &t, c, header);
	}
	json_array_foreach (rows, i, row) {
		for (unsigned int c = 0; c < t.columns; c++) {
			char *text = value_text(json_object_get(row, t.key[c]));
			print_cell(out, &t, c, text != NULL ? text : "");
			free(text);
		}
	}
}

static bool
is_table(const json_t *value)
{
	return json_is_array(value) && json_is_object(json_array_get(value, 0));
}

static void
print_object(FILE *out, json_t *object, unsigned int indent)
{
	const char *key;
	json_t *value;
	size_t width = 0;
	json_object_foreach (object, key, value)
		width = !is_table(value) && !json_is_object(value) && strlen(key) > width
				? strlen(key)
				: width;
	json_object_foreach (object, key, value) {
		if (json_is_array(value) && json_array_size(value) == 0)
			continue;
		if (is_table(value) || json_is_object(value)) {
			fprintf(out, "%s%*s%s:\n", ftell(out) > 0 && indent == 0 ? "\n" : "",
				(int)indent, "", key);
			if (is_table(value))
				print_table(out, value);
			else
				print_object(out, value, indent + 2);
			continue;
		}
		char *text = value_text(value);
		fprintf(out, "%*s%s:%*s %s\n", (int)indent, "", key, (int)(width - strlen(key)), "",
			text != NULL ? text : "");
		free(text);
	}
}

char *
msh_render(const json_t *data)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	if (out == NULL)
		return NULL;
	json_t *all = (json_t *)(uintptr_t)data; /* jansson's iterators are not const */
	if (is_table(all)) {
		print_table(out, all);
	} else if (json_is_object(all)) {
		print_object(out, all, 0);
	} else if (json_is_array(all)) {
		size_t i;
		json_t *value;
		json_array_foreach (all, i, value) {
			char *line = value_text(value);
			fprintf(out, "%s\n", line != NULL ? line : "");
			free(line);
		}
	} else {
		char *line = value_text(all);
		fputs(line != NULL ? line : "", out);
		if (line != NULL && *line != '\0' && line[strlen(line) - 1] != '\n')
			fputc('\n', out);
		free(line);
	}
	if (fclose(out) != 0) {
		free(text);
		return NULL;
	}
	return text;
}
