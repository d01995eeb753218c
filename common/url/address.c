/* SPDX-License-Identifier: MIT */
#include "base/str.h"
#include "url/url.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

/* IANA's special-purpose registry, without the ranges for documentation: nobody lives there. */
static bool ipv4_is_private(uint32_t a)
{
	static const struct {
		uint32_t net;
		int bits;
	} ranges[] = {
		{ 0x00000000, 8 },  /* this network, unspecified */
		{ 0x0a000000, 8 },  /* 10/8 */
		{ 0x64400000, 10 }, /* 100.64/10, carrier NAT */
		{ 0x7f000000, 8 },  /* loopback */
		{ 0xa9fe0000, 16 }, /* 169.254/16, link-local */
		{ 0xac100000, 12 }, /* 172.16/12 */
		{ 0xc0000000, 24 }, /* 192.0.0/24, protocol assignments */
		{ 0xc0586300, 24 }, /* 192.88.99/24, 6to4 relays */
		{ 0xc0a80000, 16 }, /* 192.168/16 */
		{ 0xc6120000, 15 }, /* 198.18/15, benchmarks */
		{ 0xe0000000, 4 },  /* multicast */
		{ 0xf0000000, 4 },  /* reserved, broadcast */
	};
	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++)
		if ((a ^ ranges[i].net) >> (32 - ranges[i].bits) == 0)
			return true;
	return false;
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static bool ipv6_is_private(const uint8_t a[16])
{
	static const uint8_t zeros[12], mapped[12] = { [10] = 0xff, [11] = 0xff };
	static const uint8_t nat64[12] = { 0x00, 0x64, 0xff, 0x9b };
	static const uint8_t nat64_local[6] = { 0x00, 0x64, 0xff, 0x9b, 0x00, 0x01 };
	static const uint8_t discard[8] = { 0x01 };
	if (memcmp(a, zeros, 12) == 0 || memcmp(a, mapped, 12) == 0 || memcmp(a, nat64, 12) == 0)
		return ipv4_is_private(get32(a + 12)); /* :: and ::1 are 0.0.0.0 and 0.0.0.1 here */
	if (memcmp(a, nat64_local, 6) == 0 || memcmp(a, discard, 8) == 0)
		return true;
	if (a[0] == 0x20 && a[1] == 0x02) /* 2002::/16, 6to4 */
		return ipv4_is_private(get32(a + 2));
	if (a[0] == 0x20 && a[1] == 0x01 && a[2] == 0 &&
		a[3] == 0) /* Teredo: the client's, inverted */
		return ipv4_is_private(~get32(a + 12)) || ipv4_is_private(get32(a + 4));
	return (a[0] & 0xfe) == 0xfc ||		 /* fc00::/7, unique local */
	       (a[0] == 0xfe && a[1] >= 0x80) || /* fe80::/10 link-local, fec0::/10 site-local */
	       a[0] == 0xff;			 /* multicast */
}

bool url_is_private_ip(const struct sockaddr *address)
{
	if (address->sa_family == AF_INET) {
		struct sockaddr_in in;
		memcpy(&in, address, sizeof(in));
		return ipv4_is_private(ntohl(in.sin_addr.s_addr));
	}
	if (address->sa_family == AF_INET6) {
		struct sockaddr_in6 in;
		memcpy(&in, address, sizeof(in));
		return ipv6_is_private(in.sin6_addr.s6_addr);
	}
	return true;
}

bool url_is_private(const struct url *url)
{
	char host[URL_HOST_MAX];
	struct sockaddr_in v4 = { .sin_family = AF_INET };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
	bool bracket = url->host.len > 2 && url->text[url->host.at] == '[';
	size_t len = url->host.len - (bracket ? 2 : 0);
	str_copy(host, MIN(len + 1, sizeof(host)), url->text + url->host.at + bracket);
	if (bracket)
		return inet_pton(AF_INET6, host, &v6.sin6_addr) == 1 &&
		       url_is_private_ip((const struct sockaddr *)&v6);
	if (url->host_is_address)
		return inet_pton(AF_INET, host, &v4.sin_addr) == 1 &&
		       url_is_private_ip((const struct sockaddr *)&v4);
	return url_in_domain(url, "localhost");
}
