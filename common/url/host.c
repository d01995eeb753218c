/* SPDX-License-Identifier: MIT */
#include "base/err.h"
#include "base/mem.h"
#include "url/url.h"
#include "url/url_internal.h"
#include <errno.h>
#include <idn2.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static int bad_host(struct err *err, const char *s, size_t len, const char *why)
{
	return err_set(err, -EINVAL, "host \"%.*s\" %s", (int)MIN(len, (size_t)100), s, why);
}

/* --- IPv4 ------------------------------------------------------------------------------------- */

/* A decimal, octal (0..) or hexadecimal (0x..) number. @return false when it is none; too large
 * ends as UINT64_MAX */
static bool ipv4_number(const char *s, size_t len, uint64_t *out)
{
	int base = 10;
	if (len == 0)
		return false;
	if (len >= 2 && s[0] == '0' && (s[1] == 'x' || s[1] == 'X')) {
		base = 16;
		s += 2;
		len -= 2;
	} else if (len >= 2 && s[0] == '0') {
		base = 8;
		s++;
		len--;
	}
	uint64_t n = 0;
	for (size_t i = 0; i < len; i++) {
		int d = hex_digit(s[i]);
		if (d < 0 || d >= base)
			return false;
		n = n > UINT32_MAX ? UINT64_MAX : n * (uint64_t)base + (uint64_t)d;
	}
	*out = n;
	return true;
}

/* The last label decides: "1.2.3.4", "0x7f.1" and "foo.09" claim to be addresses, "1.com" does not.
 */
static bool ends_in_number(const char *s, size_t len)
{
	if (len > 1 && s[len - 1] == '.')
		len--;
	size_t start = len;
	while (start > 0 && s[start - 1] != '.')
		start--;
	size_t n = len - start;
	if (n == 0)
		return false;
	uint64_t ignored;
	return strspn(s + start, "0123456789") >= n || ipv4_number(s + start, n, &ignored);
}

static int ipv4_add(struct buf *out, const char *s, size_t len, struct err *err)
{
	static const char why[] = "is no IPv4 address, though it ends in a number";
	uint64_t parts[4], last_max = UINT32_MAX;
	size_t n = 0, total = len;
	const char *whole = s;
	if (len > 1 && s[len - 1] == '.')
		len--;
	for (size_t start = 0;; n++) {
		const char *dot = memchr(s + start, '.', len - start);
		size_t end = dot ? (size_t)(dot - s) : len;
		if (n == 4 || !ipv4_number(s + start, end - start, &parts[n]))
			return bad_host(err, whole, total, why);
		if (!dot)
			break;
		if (parts[n] > 255)
			return bad_host(err, whole, total, why);
		last_max >>= 8;
		start = end + 1;
	}
	if (parts[n] > last_max)
		return bad_host(err, whole, total, why);
	uint32_t address = (uint32_t)parts[n];
	for (size_t i = 0; i < n; i++)
		address |= (uint32_t)parts[i] << (24 - 8 * i);
	buf_addf(out, "%u.%u.%u.%u", address >> 24, address >> 16 & 255, address >> 8 & 255,
		address & 255);
	return 0;
}

/* --- IPv6 ------------------------------------------------------------------------------------- */

struct ipv6 {
	const char *s, *end;
	uint16_t piece[8];
	int n, compress; /* pieces so far; where "::" stood, -1 = nowhere */
};

/* "1.2.3.4" as the last two pieces: four decimals without leading zeros. */
static bool ipv6_tail(struct ipv6 *v)
{
	if (v->n > 6)
		return false;
	for (int i = 0; i < 4; i++) {
		int n = 0, digits = 0;
		if (i > 0 && (v->s == v->end || *v->s++ != '.'))
			return false;
		for (; v->s < v->end && *v->s >= '0' && *v->s <= '9'; v->s++, digits++) {
			n = n * 10 + (*v->s - '0');
			if (n > 255 || (digits == 1 && n < 10))
				return false;
		}
		if (digits == 0)
			return false;
		v->piece[v->n + i / 2] = (uint16_t)(v->piece[v->n + i / 2] << 8 | n);
	}
	v->n += 2;
	return v->s == v->end;
}

static bool ipv6_pieces(struct ipv6 *v)
{
	if (v->s < v->end && *v->s == ':') {
		if (v->end - v->s < 2 || v->s[1] != ':')
			return false;
		v->s += 2;
		v->compress = 0;
	}
	while (v->s < v->end) {
		if (v->n == 8)
			return false;
		if (*v->s == ':') { /* the second of "::" */
			if (v->compress >= 0)
				return false;
			v->s++;
			v->compress = v->n;
			continue;
		}
		const char *start = v->s;
		unsigned value = 0;
		int digits = 0;
		for (; digits < 4 && v->s < v->end && hex_digit(*v->s) >= 0; digits++, v->s++)
			value = value << 4 | (unsigned)hex_digit(*v->s);
		if (v->s < v->end && *v->s == '.') {
			v->s = start;
			return digits > 0 && ipv6_tail(v);
		}
		if (v->s < v->end && (*v->s++ != ':' || v->s == v->end))
			return false;
		if (digits == 0)
			return false;
		v->piece[v->n++] = (uint16_t)value;
	}
	return true;
}

/* "[2001:db8::1]", the longest run of zeros compressed (RFC 5952). */
static void ipv6_serialize(struct buf *out, const uint16_t piece[8])
{
	int best = -1, best_len = 1;
	for (int i = 0; i < 8; i++) {
		int n = 0;
		while (i + n < 8 && piece[i + n] == 0)
			n++;
		if (n > best_len) {
			best = i;
			best_len = n;
		}
		i += n;
	}
	buf_add_char(out, '[');
	for (int i = 0; i < 8; i++) {
		if (i == best) {
			buf_add_str(out, i == 0 ? "::" : ":");
			i += best_len - 1;
			continue;
		}
		buf_addf(out, i < 7 ? "%x:" : "%x", piece[i]);
	}
	buf_add_char(out, ']');
}

static int ipv6_add(struct buf *out, const char *s, size_t len, struct err *err)
{
	struct ipv6 v = { .s = s + 1, .end = s + len - 1, .compress = -1 };
	bool ok = len >= 2 && s[len - 1] == ']' && ipv6_pieces(&v) && (v.n == 8 || v.compress >= 0);
	if (!ok || (v.n == 8 && v.compress >= 0))
		return bad_host(err, s, len, "is no IPv6 address");
	if (v.compress >= 0) {
		int tail = v.n - v.compress;
		memmove(v.piece + 8 - tail, v.piece + v.compress, (size_t)tail * sizeof(*v.piece));
		memset(v.piece + v.compress, 0, (size_t)(8 - v.n) * sizeof(*v.piece));
	}
	ipv6_serialize(out, v.piece);
	return 0;
}

/* --- names ------------------------------------------------------------------------------------ */

static bool is_ascii(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)s[i] >= 0x80)
			return false;
	return true;
}

static bool domain_is_clean(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s <= ' ' || *s == 0x7f || strchr("#/:<>?@[\\]^|%", *s))
			return false;
	return true;
}

/* Unicode to "xn--...": UTS #46, non-transitional. ASCII goes as it is, in lower case, whatever
 * follows an "xn--". */
static int to_ascii(char **out, char *name, struct err *err)
{
	if (is_ascii(name, strlen(name))) {
		for (char *s = name; *s; s++)
			if (*s >= 'A' && *s <= 'Z')
				*s = (char)(*s - 'A' + 'a');
		*out = strdup(name);
		return *out ? 0 : err_set(err, -ENOMEM, "host %s", name);
	}
	uint8_t *ascii = NULL;
	int rc = idn2_lookup_u8(
		(const uint8_t *)name, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
	if (rc != IDN2_OK) {
		idn2_free(ascii);
		return err_set(err, rc == IDN2_MALLOC ? -ENOMEM : -EINVAL, "host \"%.100s\": %s",
			name, idn2_strerror(rc));
	}
	/* libidn2's memory is its own business: hand out ours. */
	*out = strdup((const char *)ascii);
	idn2_free(ascii);
	return *out ? 0 : err_set(err, -ENOMEM, "host %s", name);
}

static void decode(char *dst, const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		int high = s[i] == '%' && len - i > 2 ? hex_digit(s[i + 1]) : -1;
		int low = high >= 0 ? hex_digit(s[i + 2]) : -1;
		*dst++ = low >= 0 ? (char)(high << 4 | low) : s[i];
		i += low >= 0 ? 2 : 0;
	}
	*dst = '\0';
}

/* RFC 3986 3.2.2 reg-name: unreserved, sub-delims, %XX. */
static bool is_reg_name(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (s[i] == '%' && len - i > 2 && hex_digit(s[i + 1]) >= 0 &&
			hex_digit(s[i + 2]) >= 0)
			i += 2;
		else if (!is_unreserved(s[i]) && !(s[i] && strchr("!$&'()*+,;=", s[i])))
			return false;
	}
	return len > 0;
}

/* Lower case but for the digits of %XX. */
static void reg_name_add(struct buf *out, const char *s, size_t len)
{
	struct buf clean = BUF_INIT;
	normalize_percent(&clean, s, len);
	for (size_t i = 0; i < clean.len; i++) {
		if (clean.data[i] == '%')
			i += 2;
		else if (clean.data[i] >= 'A' && clean.data[i] <= 'Z')
			clean.data[i] = (char)(clean.data[i] - 'A' + 'a');
	}
	if (buf_failed(&clean))
		out->failed = true;
	else
		buf_add(out, clean.data, clean.len);
	buf_finish(&clean);
}

static int domain_add(struct buf *out, const char *s, size_t len, bool *is_address, struct err *err)
{
	char name[4 * URL_HOST_MAX];
	CLEANUP(freep) char *ascii = NULL;
	if (len >= sizeof(name))
		return bad_host(err, s, len, "is too long");
	decode(name, s, len);
	/* A NUL, written out or as %00, would hide the rest. */
	if (memchr(s, '\0', len) || strlen(name) == 0 || memmem(s, len, "%00", 3))
		return bad_host(err, s, len, "holds characters that no host has");
	int rc = to_ascii(&ascii, name, err);
	if (rc < 0)
		return rc;
	if (!*ascii || !domain_is_clean(ascii))
		return bad_host(err, s, len, "holds characters that no host has");
	if (strlen(ascii) >= URL_HOST_MAX)
		return bad_host(err, s, len, "is too long");
	*is_address = ends_in_number(ascii, strlen(ascii));
	if (*is_address)
		return ipv4_add(out, ascii, strlen(ascii), err);
	buf_add_str(out, ascii);
	return 0;
}

int host_add(
	struct buf *out, const char *s, size_t len, bool lenient, bool *is_address, struct err *err)
{
	*is_address = len > 0 && s[0] == '[';
	if (len == 0)
		return err_set(err, -EINVAL, "no host");
	if (*is_address)
		return ipv6_add(out, s, len, err);
	int rc = domain_add(out, s, len, is_address, err);
	if (rc == -EINVAL && lenient && !*is_address && len < URL_HOST_MAX && is_reg_name(s, len)) {
		reg_name_add(out, s, len);
		return 0;
	}
	return rc;
}
