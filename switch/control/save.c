/* SPDX-License-Identifier: BSD-3-Clause */

/* State as commands: `save` prints what a boot file takes. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control.h"

static void
emit_line(void *context, const char *line)
{
	fprintf(context, "%s\n", line);
}

static void
emit_operators_line(void *context, const char *line)
{
	fprintf(context, "operator %s\n", line);
}

static void
save_vm(FILE *out, const struct msh_control *control, const struct msh_vm *vm)
{
	char mac[MSH_MAC_TEXT], ip[MSH_IP_TEXT];
	fprintf(out, "vm add %s", vm->name);
	for (uint16_t i = 0; i < vm->address_count; i++) {
		if (i == 0 || vm->address[i].port != vm->address[i - 1].port)
			fprintf(out, " port %s", control->port[vm->address[i].port].port->name);
		fprintf(out, " mac %s", msh_mac_text(&vm->address[i].mac, mac));
		for (uint16_t j = 0; j < vm->ip_count; j++)
			if (vm->ip[j].address == i)
				fprintf(out, " ip %s", msh_ip_text(&vm->ip[j].ip, ip));
	}
	fprintf(out, "%s\n", vm->region_arguments);
	for (unsigned int s = 0; s < msh_slots(); s++)
		if (vm->instance[s] != NULL)
			msh_slot_stage(s)->dump(vm->instance[s],
				msh_slot_is_operators(s) ? emit_operators_line : emit_line, out);
}

static void
save_port(FILE *out, const struct msh_port_entry *entry)
{
	fprintf(out, "port add %s %s", entry->port->name, entry->arguments);
	if (entry->provider->save != NULL)
		entry->provider->save(entry->port, out);
	fputc('\n', out);
	char *rules = msh_rules_text(&entry->rules);
	if (rules != NULL && rules[0] != '\0')
		fprintf(out, "port set %s%s\n", entry->port->name, rules);
	free(rules);
	for (uint16_t q = 0; q < MSH_QUEUES_MAX; q++)
		if (entry->placed[q])
			fprintf(out, "port move %s %u queue %u\n", entry->port->name,
				entry->service.worker[q], q);
}

char *
msh_save(const struct msh_control *control)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	if (out == NULL)
		return NULL;
	if (control->datapath.spin)
		fputs("worker idle spin\n", out);
	if (control->keep_places)
		fputs("worker balance off\n", out);
	for (unsigned int i = 1; i < MSH_PORTS_MAX; i++)
		if (control->port[i].port != NULL)
			save_port(out, &control->port[i]);
	if (control->asks_all)
		fputs("suppress off\n", out);
	msh_static_macs_save(control, out);
	for (unsigned int i = 1; i < MSH_VMS_MAX; i++)
		if (control->vm[i].index != 0)
			save_vm(out, control, &control->vm[i]);
	if (fclose(out) != 0) {
		free(text);
		return NULL;
	}
	return text;
}
