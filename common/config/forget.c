/* SPDX-License-Identifier: MIT */
#include "config/forget.h"

#ifdef DROVER_MUTANTS
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* Segments between dots; a * of the pattern is any one. @return what is left of the pattern behind
 * path, NULL: they differ */
static const char *match(const char *pattern, const char *path)
{
	while (*path) {
		size_t len = strcspn(pattern, "."), there = strcspn(path, ".");
		bool same = len == there && strncmp(pattern, path, len) == 0;
		if (!same && !(len == 1 && *pattern == '*'))
			return NULL;
		pattern += len;
		path += there;
		if (*path != '\0' && *pattern++ != '.')
			return NULL;
		path += *path == '.';
	}
	return pattern;
}

bool field_is_forgotten(const char *path, const char *name)
{
	static const char *leaf;
	static bool looked;
	if (!looked)
		leaf = getenv("DROVER_FIELD");
	looked = true;
	if (!leaf || !*leaf)
		return false;
	const char *rest = match(leaf, path);
	return rest && (!*rest || (*rest == '.' && strcmp(rest + 1, name) == 0));
}
#endif
