/* SPDX-License-Identifier: BSD-3-Clause */

/* The load balancer's verdicts and counters beside a naive model that scans plain structs and reads
 * frames byte by byte. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "stages.h"

extern const struct msh_stage msh_stage_lb;

/* ---- the model ---- */

struct service {
	uint8_t mac, ip, type, source, backend; /* last bytes */
	long packets, bytes, unresolved, ttl;
};

#define SERVICES 64
static struct service model[SERVICES];
static unsigned int model_count;
static uint8_t backend_mac_of[256]; /* last byte of the MAC, 0: unknown */

static struct service *
model_service(const struct frame *f)
{
	const uint8_t *b = f->data;
	unsigned int o = 12, found = SERVICES;

	for (unsigned int tags = 0; tags < 2 && b[o] == 0x81 && b[o + 1] == 0; tags++)
		o += 4;
	if (b[o] != 8 || b[o + 1] != 0)
		return NULL;
	o += 2;
	unsigned int header = (b[o] & 15u) * 4, length = b[o + 2] * 256u + b[o + 3];
	if (o + 20 > f->first || b[o] >> 4 != 4 || header < 20 || o + header > f->first ||
		length < header || o + length > f->total)
		return NULL;
	for (unsigned int i = 0; i < model_count; i++) {
		const uint8_t mac[6] = {0x52, 0x54, 0, 0, 0, model[i].mac};
		const uint8_t ip[4] = {10, 0, 0, model[i].ip};
		const uint8_t source[4] = {10, 0, 0, model[i].source};
		if (memcmp(b, mac, 6) != 0 || memcmp(b + o + 16, ip, 4) != 0)
			continue;
		if (model[i].type == 1 && memcmp(b + o + 12, source, 4) == 0)
			return &model[i];
		if (model[i].type == 0)
			found = i;
	}
	return found < SERVICES ? &model[found] : NULL;
}

static struct frame
random_frame(void)
{
	struct frame f = {.data = {0x52, 0x54, 0, 0, 0, (uint8_t)any(4), 0x52}};
	unsigned int o = 12;

	if (any(20) == 0)
		memset(f.data, 0xff, 6);
	for (unsigned int tags = any(4) == 0 ? 1 + any(2) : 0; tags > 0; tags--, o += 4)
		f.data[o] = 0x81;
	memcpy(f.data + o, any(10) == 0 ? "\x08\x06" : any(10) == 0 ? "\x86\xdd" : "\x08\x00", 2);
	o += 2;
	f.data[o] = any(30) == 0 ? (uint8_t)any(256) : (uint8_t)(0x45 + (any(6) == 0 ? 1 : 0));
	f.data[o + 3] = 40;
	f.data[o + 6] = (uint8_t)(any(4) == 0 ? 0x20 : 0); /* fragments, first */
	f.data[o + 7] = (uint8_t)(any(4) == 0);            /* and later ones */
	f.data[o + 8] = (uint8_t)(any(4) == 0 ? any(3) : 64);
	f.data[o + 9] = 17;
	for (unsigned int at = o + 12; at <= o + 16; at += 4) {
		f.data[at] = 10;
		f.data[at + 3] = (uint8_t)any(6);
	}
	f.total = (uint16_t)(o + 40 + any(6));
	f.first = any(12) == 0 ? (uint16_t)(14 + any(f.total - 13u)) : f.total;
	if (any(20) == 0)
		f.total = f.first;
	return f;
}

static void
random_service(const void **lb)
{
	struct service s = {.mac = (uint8_t)any(3),
		.ip = (uint8_t)(1 + any(4)),
		.type = (uint8_t)any(2),
		.source = (uint8_t)any(6),
		.backend = (uint8_t)(10 + any(6))};
	bool exists = false;
	char line[128];

	for (unsigned int i = 0; i < model_count; i++)
		exists |= model[i].mac == s.mac && model[i].ip == s.ip && model[i].type == s.type &&
			  (s.type == 0 || model[i].source == s.source);
	snprintf(line, sizeof(line), "R L 52:54:00:00:00:%02x 10.0.0.%u %u 10.0.0.%u 10.0.0.%u",
		s.mac, s.ip, s.type, s.source, s.backend);
	expect(lb, line, exists ? MSH_EXISTS : MSH_OK, "");
	if (!exists)
		model[model_count++] = s;
}

static void
random_resolve(const void **lb)
{
	uint8_t ip = (uint8_t)(10 + any(6)), mac = (uint8_t)(1 + any(3));
	char ip_word[32], mac_word[32];
	bool changes = false;

	for (unsigned int i = 0; i < model_count; i++)
		changes |= model[i].backend == ip && backend_mac_of[ip] != mac;
	if (changes)
		backend_mac_of[ip] = mac;
	snprintf(ip_word, sizeof(ip_word), "10.0.0.%u", ip);
	snprintf(mac_word, sizeof(mac_word), "52:54:00:00:01:%02x", mac);
	if (*lb != NULL)
		resolve(lb, ip_word, mac_word, changes);
}

static unsigned int redirected;

static void
assert_verdict(const struct frame *f, const struct msh_packet *p, const struct msh_verdict *v)
{
	struct service *s = model_service(f);
	unsigned int o = p->l3;

	if (s != NULL && backend_mac_of[s->backend] != 0 && f->data[o + 8] > 1) {
		const uint8_t mac[6] = {0x52, 0x54, 0, 0, 1, backend_mac_of[s->backend]};
		const uint8_t backend[4] = {10, 0, 0, s->backend};
		assert_int_equal(v->action, MSH_REDIRECT);
		assert_memory_equal(&v->redirect->backend_mac, mac, 6);
		assert_memory_equal(&v->redirect->backend, backend, 4);
		assert_memory_equal(&v->redirect->vip_mac, f->data, 6);
		assert_memory_equal(&v->redirect->vip, f->data + o + 16, 4);
		s->packets++;
		s->bytes += f->total;
		redirected++;
		return;
	}
	assert_int_equal(v->action, MSH_DELIVER);
	if (s != NULL && backend_mac_of[s->backend] == 0)
		s->unresolved++;
	else if (s != NULL)
		s->ttl++;
}

static void
test_model(void **state)
{
	static struct frame frame[MSH_BURST_MAX];
	unsigned int packets = 0;

	for (unsigned int round = 0; round < 300; round++) {
		const void *lb = NULL;
		model_count = 0;
		memset(backend_mac_of, 0, sizeof(backend_mac_of));
		random_service(&lb);
		for (unsigned int turn = 0; turn < 12; turn++) {
			for (unsigned int n = any(5); n > 0; n--)
				random_service(&lb);
			for (unsigned int n = any(3); n > 0; n--)
				random_resolve(&lb);
			for (unsigned int i = 0; i < MSH_BURST_MAX; i++)
				frame[i] = random_frame();
			classify(lb, frame, MSH_BURST_MAX, any(MSH_WORKERS_MAX));
			for (unsigned int i = 0; i < MSH_BURST_MAX; i++)
				assert_verdict(&frame[i], &burst.packet[i], &burst.verdict[i]);
			packets += MSH_BURST_MAX;
		}
		for (unsigned int i = 0; i < model_count; i++) {
			assert_int_equal(counter(lb, i, "packets"), model[i].packets);
			assert_int_equal(counter(lb, i, "bytes"), model[i].bytes);
			assert_int_equal(counter(lb, i, "unresolved"), model[i].unresolved);
			assert_int_equal(counter(lb, i, "ttl"), model[i].ttl);
		}
		assert_roundtrip(lb);
		done(lb);
	}
	printf("# %u packets, %u redirected, no difference from the model\n", packets, redirected);
	assert_true(packets > 100000 && redirected > 5000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_model),
	};

	stage = &msh_stage_lb;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
