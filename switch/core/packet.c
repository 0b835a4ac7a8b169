/* SPDX-License-Identifier: BSD-3-Clause */
#include "packet.h"

#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <string.h>

#define VLAN_TAGS_MAX 2
#define IPV6_EXTENSIONS_MAX 8
#define IPV4_OFFSET_MASK 0x1fff
#define IPV4_MORE 0x2000
#define IPV6_OFFSET_MASK 0xfff8
#define IPV6_MORE 0x0001
#define TCP_FLAGS 13 /* offset; RFC 9293 3.1 */

/* A frame in the hands of the parser. `end` is the first offset that may not be read: of the first
 * segment, and once the IP header is known also of the datagram, so that Ethernet padding is never
 * taken for a header. */
struct frame {
	const uint8_t *data;
	uint32_t end;
	uint32_t length; /* of the whole packet, all segments */
};

/* Frames are not aligned: byte by byte, which compilers turn into one load. */
static inline uint16_t
load16(const struct frame *f, uint32_t offset)
{
	return (uint16_t)(f->data[offset] << 8 | f->data[offset + 1]);
}

static inline bool
holds(const struct frame *f, uint32_t offset, uint32_t size)
{
	return offset + size <= f->end;
}

static inline bool
is_vlan(uint16_t type)
{
	return type == RTE_ETHER_TYPE_VLAN || type == RTE_ETHER_TYPE_QINQ || type == 0x9100;
}

/* Returns the offset behind the tags. A tag that is cut short leaves no EtherType. */
static uint32_t
parse_tags(struct msh_packet *p, const struct frame *f)
{
	uint32_t offset = RTE_ETHER_HDR_LEN;
	uint16_t type = load16(f, 12);

	for (unsigned int tags = 0; tags < VLAN_TAGS_MAX && is_vlan(type); tags++) {
		if (!holds(f, offset, 4)) {
			type = 0;
			break;
		}
		if (tags == 0) {
			p->tagged = true;
			p->tci = load16(f, offset);
		}
		type = load16(f, offset + 2);
		offset += 4;
	}
	p->ether_type = type;
	return offset;
}

static inline void
parse_transport(struct msh_packet *p, const struct frame *f, uint32_t offset)
{
	if (!holds(f, offset, 1) || offset > UINT16_MAX)
		return;
	p->l4 = (uint16_t)offset;
	if (msh_packet_carries_ports(p->proto) && holds(f, offset, 4)) {
		p->has_ports = true;
		p->sport = load16(f, offset);
		p->dport = load16(f, offset + 2);
	}
}

/* RFC 791 3.1 */
static inline void
parse_ipv4(struct msh_packet *p, struct frame *f, uint32_t l3)
{
	if (!holds(f, l3, sizeof(struct rte_ipv4_hdr)) || f->data[l3] >> 4 != 4)
		return;
	uint32_t header = (f->data[l3] & 0x0fu) * 4;
	uint32_t total = load16(f, l3 + 2);
	if (header < sizeof(struct rte_ipv4_hdr) || !holds(f, l3, header) || total < header ||
		total > f->length - l3)
		return;

	uint16_t fragment = load16(f, l3 + 6);
	p->ip_version = 4;
	p->l3 = (uint16_t)l3;
	p->tos = f->data[l3 + 1];
	p->proto = f->data[l3 + 9];
	p->fragment = (fragment & (IPV4_OFFSET_MASK | IPV4_MORE)) != 0;
	f->end = RTE_MIN(f->end, l3 + total);
	if ((fragment & IPV4_OFFSET_MASK) == 0)
		parse_transport(p, f, l3 + header);
}

/* Size of the extension header of this kind at offset (RFC 8200 4, RFC 4302 2.2); 0 when the kind
 * is not one, or the header does not end before f->end. */
static uint32_t
extension_size(const struct frame *f, uint32_t offset, uint8_t kind)
{
	uint32_t size;

	if (!holds(f, offset, 8))
		return 0;
	switch (kind) {
	case IPPROTO_HOPOPTS:
	case IPPROTO_ROUTING:
	case IPPROTO_DSTOPTS:
		size = (f->data[offset + 1] + 1u) * 8;
		break;
	case IPPROTO_FRAGMENT:
		size = 8;
		break;
	case IPPROTO_AH:
		size = (f->data[offset + 1] + 2u) * 4;
		break;
	default:
		return 0;
	}
	return holds(f, offset, size) ? size : 0;
}

static inline bool
is_extension(uint8_t kind)
{
	return kind == IPPROTO_HOPOPTS || kind == IPPROTO_ROUTING || kind == IPPROTO_DSTOPTS ||
	       kind == IPPROTO_FRAGMENT || kind == IPPROTO_AH;
}

/* Walk to the transport header. Leaves in p->proto the last kind that could be read. An atomic
 * fragment (RFC 6946) is a whole datagram. */
static void
parse_extensions(struct msh_packet *p, const struct frame *f, uint32_t offset)
{
	for (unsigned int i = 0; i < IPV6_EXTENSIONS_MAX && is_extension(p->proto); i++) {
		uint32_t size = extension_size(f, offset, p->proto);
		if (size == 0)
			return;
		bool fragment = p->proto == IPPROTO_FRAGMENT;
		p->proto = f->data[offset];
		if (fragment) {
			uint16_t where = load16(f, offset + 2);
			p->fragment |= (where & (IPV6_OFFSET_MASK | IPV6_MORE)) != 0;
			if ((where & IPV6_OFFSET_MASK) != 0)
				return;
		}
		offset += size;
	}
	if (!is_extension(p->proto) && p->proto != IPPROTO_NONE)
		parse_transport(p, f, offset);
}

/* RFC 8200 3 */
static void
parse_ipv6(struct msh_packet *p, struct frame *f, uint32_t l3)
{
	if (!holds(f, l3, sizeof(struct rte_ipv6_hdr)) || f->data[l3] >> 4 != 6)
		return;
	uint32_t behind = l3 + (uint32_t)sizeof(struct rte_ipv6_hdr);
	uint32_t payload = load16(f, l3 + 4);
	if (payload > f->length - behind)
		return;

	p->ip_version = 6;
	p->l3 = (uint16_t)l3;
	p->tos = (uint8_t)(load16(f, l3) >> 4);
	p->proto = f->data[l3 + 6];
	f->end = RTE_MIN(f->end, behind + payload);
	parse_extensions(p, f, behind);
}

void
msh_packet_parse(struct msh_packet *p, struct rte_mbuf *m)
{
	struct frame f = {
		.data = rte_pktmbuf_mtod(m, const uint8_t *),
		.end = rte_pktmbuf_data_len(m),
		.length = rte_pktmbuf_pkt_len(m),
	};

	*p = (struct msh_packet){.mbuf = m, .parsed = true};
	uint32_t l3 = parse_tags(p, &f);
	p->payload = (uint16_t)l3;
	if (p->ether_type == RTE_ETHER_TYPE_IPV4)
		parse_ipv4(p, &f, l3);
	else if (p->ether_type == RTE_ETHER_TYPE_IPV6)
		parse_ipv6(p, &f, l3);
}

void
msh_packet_parse_quoted(struct msh_packet *p, const struct msh_packet *error, uint32_t offset)
{
	struct frame f = {
		.data = rte_pktmbuf_mtod(error->mbuf, const uint8_t *),
		.end = RTE_MIN((uint32_t)rte_pktmbuf_data_len(error->mbuf), msh_packet_end(error)),
		.length = UINT32_MAX,
	};

	*p = (struct msh_packet){.mbuf = error->mbuf};
	if (error->ip_version == 4)
		parse_ipv4(p, &f, offset);
	else
		parse_ipv6(p, &f, offset);
}

bool
msh_packet_is_error(const struct msh_packet *p, uint8_t type)
{
	if (p->ip_version == 6)
		return type < 128;
	return type == ICMP_DEST_UNREACH || type == ICMP_SOURCE_QUENCH || type == ICMP_REDIRECT ||
	       type == ICMP_TIME_EXCEEDED || type == ICMP_PARAMETERPROB;
}

/* Bytes behind the IP header that are in the first segment, and in the datagram. */
static uint32_t
transport_bytes(const struct msh_packet *p)
{
	return RTE_MIN((uint32_t)rte_pktmbuf_data_len(p->mbuf), msh_packet_end(p)) - p->l4;
}

bool
msh_packet_info(const struct msh_packet *p, uint16_t *info)
{
	if (p->l4 == 0)
		return false;
	const uint8_t *header = rte_pktmbuf_mtod_offset(p->mbuf, const uint8_t *, p->l4);
	if (p->proto == IPPROTO_TCP && transport_bytes(p) > TCP_FLAGS)
		*info = (uint16_t)(header[TCP_FLAGS] << 8);
	else if ((p->proto == IPPROTO_ICMP || p->proto == IPPROTO_ICMPV6) &&
		 transport_bytes(p) >= 2)
		*info = (uint16_t)(header[0] << 8 | header[1]);
	else
		return false;
	return true;
}
