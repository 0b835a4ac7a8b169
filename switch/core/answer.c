/* SPDX-License-Identifier: BSD-3-Clause */
#include "answer.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int
msh_answer_set(struct msh_answer *answer, enum msh_status status, const char *format, ...)
{
	va_list list;
	va_start(list, format);
	vsnprintf(answer->text, sizeof(answer->text), format, list);
	va_end(list);
	answer->status = status;
	return -(int)status;
}

const char *
msh_status_word(enum msh_status status)
{
	static const char *const words[] = {
#define X(number, name, text) [number] = #name,
		MSH_STATUS_LIST(X)
#undef X
	};
	return words[status];
}

void
msh_answer_clear(struct msh_answer *answer)
{
	json_decref(answer->data);
	answer->data = NULL;
}

/* Keep whole lines, and say how much is missing. */
static size_t
cut(char *buffer, size_t size, const char *text, size_t length)
{
	static const size_t notice = sizeof("... 18446744073709551615 bytes more\n");
	if (size <= notice) {
		size_t n = size > length ? length : size - 1;
		memcpy(buffer, text, n);
		buffer[n] = '\0';
		return n;
	}
	size_t kept = size - notice;
	while (kept > 0 && text[kept - 1] != '\n')
		kept--;
	memcpy(buffer, text, kept);
	return kept +
	       (size_t)snprintf(buffer + kept, size - kept, "... %zu bytes more\n", length - kept);
}

size_t
msh_answer_text(const struct msh_answer *answer, char *buffer, size_t size)
{
	if (size == 0)
		return 0;
	char *data = answer->data != NULL ? msh_render(answer->data) : NULL;
	char *text = NULL;
	bool sentence = answer->text[0] != '\0';
	int length = asprintf(&text, "%s%s%s\n%s", msh_status_word(answer->status),
		sentence ? " " : "", answer->text, data != NULL ? data : "");
	free(data);
	if (length < 0) {
		buffer[0] = '\0';
		return 0;
	}
	size_t n = (size_t)length;
	if (n < size)
		memcpy(buffer, text, n + 1);
	else
		n = cut(buffer, size, text, n);
	free(text);
	return n;
}
