/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "url/url.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

static bool is_private(const char *text)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
	if (inet_pton(AF_INET, text, &in.sin_addr) == 1)
		return url_is_private_ip((const struct sockaddr *)&in);
	if (inet_pton(AF_INET6, text, &in6.sin6_addr) != 1)
		fail_msg("%s is no address", text);
	return url_is_private_ip((const struct sockaddr *)&in6);
}

static void addresses_that_lead_inside_are_private(void **state)
{
	(void)state;
	static const char *const inside[] = { "0.0.0.0", "10.0.0.1", "100.64.0.1",
		"100.127.255.255", "127.0.0.1", "127.255.255.255", "169.254.169.254", "172.16.0.1",
		"172.31.255.255", "192.0.0.8", "192.168.1.1", "198.18.0.1", "224.0.0.1",
		"239.1.2.3", "240.0.0.1", "255.255.255.255", "::", "::1", "fe80::1", "febf::1",
		"fec0::1", "fc00::1", "fd12:3456::1", "ff02::1", "::ffff:127.0.0.1",
		"::ffff:10.1.2.3", "::10.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b:1::8.8.8.8",
		"2002:7f00:1::", "2002:a00:1::1",
		"2001:0:808:808::f5ff:fffe", /* Teredo: 10.0.0.1 inverted */
		"100::1" };
	for (size_t i = 0; i < sizeof(inside) / sizeof(*inside); i++)
		if (!is_private(inside[i]))
			fail_msg("%s counts as public", inside[i]);
}

static void addresses_of_the_internet_are_not(void **state)
{
	(void)state;
	static const char *const outside[] = { "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0",
		"100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.1", "169.253.1.1",
		"172.15.255.255", "172.32.0.0", "192.167.1.1", "192.169.0.1", "198.17.255.255",
		"198.20.0.0", "223.255.255.255", "2606:4700::1111", "::ffff:8.8.8.8",
		"64:ff9b::8.8.8.8", "2002:808:808::1", "2a00::1", "2001:0:808:808::f7f7:f7f7" };
	for (size_t i = 0; i < sizeof(outside) / sizeof(*outside); i++)
		if (is_private(outside[i]))
			fail_msg("%s counts as private", outside[i]);
}

static void an_unknown_family_is_private(void **state)
{
	(void)state;
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	assert_true(url_is_private_ip((const struct sockaddr *)&un));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_that_lead_inside_are_private),
		cmocka_unit_test(addresses_of_the_internet_are_not),
		cmocka_unit_test(an_unknown_family_is_private),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
