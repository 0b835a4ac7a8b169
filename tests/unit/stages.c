/* SPDX-License-Identifier: BSD-3-Clause */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "stages.h"

const struct msh_stage *stage;
struct msh_answer answer;
struct msh_burst burst;

int
apply(const void *old, const char *line, const void **result)
{
	char text[512], *word[32];
	unsigned int verb = 0;
	int count = 0;

	if (msh_tallies[0] == NULL)
		assert_int_equal(msh_tally_init(MSH_WORKERS_MAX), 0);
	while (strncmp(line, stage->verbs[verb].name, strlen(stage->verbs[verb].name)) != 0 ||
		line[strlen(stage->verbs[verb].name)] != ' ')
		assert_true(++verb < stage->verb_count);
	snprintf(text, sizeof(text), "%s", line + strlen(stage->verbs[verb].name));
	for (char *w = strtok(text, " "); w != NULL; w = strtok(NULL, " "))
		word[count++] = w;
	msh_answer_clear(&answer);
	memset(&answer, 0, sizeof(answer));
	int rc = stage->apply(old, verb, count, word, &answer, result);
	assert_int_equal(rc, -(int)answer.status);
	assert_true(answer.text[0] != '\0');
	return (int)answer.status;
}

int
run(const void **instance, const char *line)
{
	const void *old = *instance, *result = NULL;
	int status = apply(old, line, &result);

	if (status == MSH_OK) {
		assert_non_null(result);
		*instance = result;
		if (old != NULL && old != result)
			stage->destroy(old);
	}
	return status;
}

void
expect(const void **instance, const char *line, int status, const char *text)
{
	const void *before = *instance;
	int got = run(instance, line);

	if (got != status || strstr(answer.text, text) == NULL)
		fail_msg("%s\n  got %d: %s\n  want %d: %s", line, got, answer.text, status, text);
	if (status != MSH_OK)
		assert_ptr_equal(*instance, before);
}

void
resolve(const void **instance, const char *ip, const char *mac, bool changes)
{
	const void *old = *instance, *result = NULL;
	struct rte_ether_addr address;

	assert_int_equal(msh_parse_mac(mac, &address), 0);
	assert_int_equal(stage->resolved(old, inet_addr(ip), &address, &result), 0);
	assert_int_equal(result != old, changes);
	if (changes) {
		*instance = result;
		stage->destroy(old);
	}
}

void
done(const void *instance)
{
	if (instance != NULL)
		stage->destroy(instance);
	msh_answer_clear(&answer);
}

struct lines
no_lines(void)
{
	return (struct lines){.text = calloc(1, 1)};
}

void
collect(void *context, const char *line)
{
	struct lines *lines = context;
	size_t length = strlen(line);

	lines->text = realloc(lines->text, lines->length + length + 2);
	assert_non_null(lines->text);
	sprintf(lines->text + lines->length, "%s\n", line);
	lines->length += length + 1;
	lines->count++;
}

struct lines
dump(const void *instance)
{
	struct lines lines = no_lines();

	if (instance != NULL)
		stage->dump(instance, collect, &lines);
	return lines;
}

void
assert_dump(const void *instance, const char *want)
{
	struct lines lines = dump(instance);

	assert_string_equal(lines.text, want);
	free(lines.text);
}

void
assert_roundtrip(const void *instance)
{
	struct lines first = dump(instance);
	const void *copy = NULL;
	char *rest = NULL, *text = strdup(first.text);

	for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
		expect(&copy, line, MSH_OK, "");
	assert_dump(copy, first.text);
	free(text);
	free(first.text);
	done(copy);
}

long
counter(const void *instance, unsigned int row, const char *key)
{
	json_t *rows = json_array();

	stage->show(instance, rows);
	long value = (long)json_integer_value(json_object_get(json_array_get(rows, row), key));
	json_decref(rows);
	return value;
}

void
classify(const void *instance, const struct frame *frame, unsigned int count, unsigned int worker)
{
	static struct rte_mbuf m[MSH_BURST_MAX];

	memset(&burst, 0, sizeof(burst));
	burst.count = (uint16_t)count;
	burst.worker = (uint16_t)worker;
	for (unsigned int i = 0; i < count; i++) {
		m[i] = frame_mbuf(&frame[i]);
		msh_packet_parse(&burst.packet[i], &m[i]);
	}
	stage->classify(instance, MSH_IN, &burst, (1ull << count) - 1);
	for (unsigned int i = 0; i < count; i++) {
		msh_verdict_count(&burst.verdict[i], worker, &m[i]);
		if (burst.verdict[i].action != MSH_REDIRECT)
			continue;
		const struct msh_redirect *r = burst.verdict[i].redirect;
		if (msh_redirect_has_hop(r, worker, &burst.packet[i]))
			msh_tally_add(worker, r->tally, frame[i].total);
		else
			burst.verdict[i].action = MSH_DELIVER;
	}
}

uint64_t
classify_drops(const void *instance, const struct frame *frame, unsigned int count,
	unsigned int worker, enum msh_drop reason)
{
	uint64_t dropped = 0;

	classify(instance, frame, count, worker);
	for (unsigned int i = 0; i < count; i++) {
		if (burst.verdict[i].action == MSH_DROP) {
			assert_int_equal(burst.verdict[i].reason, reason);
			dropped |= 1ull << i;
		} else {
			assert_int_equal(burst.verdict[i].action, MSH_DELIVER);
		}
	}
	return dropped;
}

double
seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}
