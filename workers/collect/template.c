/* SPDX-License-Identifier: MIT */
#include "collect/template.h"

#include "base/buf.h"
#include "base/mutant.h"
#include <stdlib.h>
#include <string.h>

bool template_find(const char *text, struct template_place *out)
{
	const char *begin = text ? strstr(text, "{{") : NULL;
	const char *close = begin ? strstr(begin + 2, "}}") : NULL;
	if (!close)
		return false;
	const char *name = begin + 2, *end = close;
	while (name < end && *name == ' ')
		name++;
	while (end > name && end[-1] == ' ')
		end--;
	*out = (struct template_place) {
		.begin = begin, .end = close + 2, .name = name, .len = (size_t)(end - name)
	};
	return true;
}

bool template_is(const struct template_place *place, const char *name)
{
	return name && strlen(name) == place->len && strncmp(name, place->name, place->len) == 0;
}

void template_expand(struct buf *out, const char *text, const char *name, const char *value,
	void (*add)(struct buf *out, const char *value))
{
	struct template_place place;
	while (name && template_find(text, &place)) {
		buf_add(out, text, (size_t)(place.begin - text));
		if (MUTANT(FUZZ_TEMPLATES) && place.name > place.begin + 2 &&
			strstr(place.end, "{{"))
			abort();
		if (template_is(&place, name))
			add(out, value);
		else
			buf_add(out, place.begin, (size_t)(place.end - place.begin));
		text = place.end;
	}
	buf_add_str(out, text);
}
