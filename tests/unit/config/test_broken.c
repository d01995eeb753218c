/* SPDX-License-Identifier: MIT */
/* The broken configurations of tests/integration/broken, each with what must be said about it. */
#include "unit.h"

#include "base/buf.h"
#include "base/str.h"
#include "config/load.h"

#include <dirent.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { TIME_MAX_MS = 2000, ERRORS_MAX = 32 };

struct expected {
	char file[64];
	long line, column;
	char text[200];
	bool seen;
};

static char folder[512];

static int wanted(const struct dirent *entry)
{
	return strstr(entry->d_name, ".expect") != NULL;
}

/* "[FILE:]LINE:COL: substring" */
static bool parse_expected(const char *line, struct expected *e)
{
	const char *p = line;
	*e = (struct expected) { 0 };
	if (*p < '0' || *p > '9') {
		size_t len = strcspn(p, ":");
		str_copy(e->file, MIN(len + 1, sizeof(e->file)), p);
		p += len + 1;
	}
	int used = 0;
	if (sscanf(p, "%ld:%ld:%n", &e->line, &e->column, &used) != 2)
		return false;
	p += used;
	p += *p == ' ';
	str_copy(e->text, MIN(strcspn(p, "\n") + 1, sizeof(e->text)), p);
	return true;
}

static size_t read_expected(const char *path, struct expected *out)
{
	FILE *f = fopen(path, "r");
	char line[400];
	size_t count = 0;
	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		assert_true(count < ERRORS_MAX && parse_expected(line, &out[count++]));
	fclose(f);
	return count;
}

/* One error line of the report; true when it is expected (once). */
static bool match(const char *line, const char *main_file, struct expected *expected, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		char place[700];
		const char *slash = strrchr(main_file, '/');
		if (*expected[i].file)
			snprintf(place, sizeof(place),
				"%.*s/%s:%ld:%ld: error: ", (int)(slash - main_file), main_file,
				expected[i].file, expected[i].line, expected[i].column);
		else
			snprintf(place, sizeof(place), "%s:%ld:%ld: error: ", main_file,
				expected[i].line, expected[i].column);
		if (!expected[i].seen && str_starts(line, place) &&
			strstr(line + strlen(place), expected[i].text)) {
			expected[i].seen = true;
			return true;
		}
	}
	return false;
}

static int compare(const char *name, const char *main_file, char *report, struct expected *expected,
	size_t count)
{
	int wrong = 0;
	char *save = NULL;
	for (char *line = strtok_r(report, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		if (strstr(line, ": error: ") && !strstr(line, " | ") &&
			!match(line, main_file, expected, count)) {
			print_error("%s: not expected: %s\n", name, line);
			wrong++;
		}
	}
	for (size_t i = 0; i < count; i++) {
		if (!expected[i].seen) {
			print_error("%s: missing: %s%s%ld:%ld: %s\n", name, expected[i].file,
				*expected[i].file ? ":" : "", expected[i].line, expected[i].column,
				expected[i].text);
			wrong++;
		}
	}
	return wrong;
}

static int64_t now_ms(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int check_one(const char *sidecar)
{
	char path[700], main_file[700];
	struct expected expected[ERRORS_MAX];
	struct stat st;
	snprintf(path, sizeof(path), "%s/%s", folder, sidecar);
	size_t count = read_expected(path, expected);
	path[strlen(path) - strlen(".expect")] = '\0';
	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		snprintf(main_file, sizeof(main_file), "%.600s/drover.yaml", path);
	else
		snprintf(main_file, sizeof(main_file), "%.600s.yaml", path);
	struct config_options options = test_options(main_file);
	struct buf report = BUF_INIT;
	struct config *config = NULL;
	int64_t start = now_ms();
	int rc = config_load(&config, &options, &report);
	int wrong = now_ms() - start > TIME_MAX_MS;
	if (wrong)
		print_error("%s: took too long\n", sidecar);
	if (rc == 0) {
		print_error("%s: was accepted\n", sidecar);
		config_free(config);
		wrong++;
	}
	if (rc != 0 && count == 0)
		wrong++;
	if (getenv("DROVER_SHOW_REPORTS"))
		printf("---- %s\n%s", sidecar, buf_str(&report));
	char *text = buf_detach(&report);
	if (text)
		wrong += compare(sidecar, main_file, text, expected, count);
	free(text);
	return wrong;
}

static void each_broken_file_gets_the_errors_of_its_sidecar_and_no_other(void **state)
{
	(void)state;
	struct dirent **entries = NULL;
	int wrong = 0, n = scandir(folder, &entries, wanted, alphasort);
	assert_true(n >= 40);
	for (int i = 0; i < n; i++) {
		wrong += check_one(entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
	assert_int_equal(wrong, 0);
}

static int find_folder(void **state)
{
	(void)state;
	const char *source = getenv("DROVER_SOURCE");
	snprintf(folder, sizeof(folder), "%s/tests/integration/broken", source ? source : ".");
	return access(folder, R_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_broken_file_gets_the_errors_of_its_sidecar_and_no_other),
	};
	return cmocka_run_group_tests(tests, find_folder, NULL);
}
