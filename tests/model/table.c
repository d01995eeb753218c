/* SPDX-License-Identifier: MIT */
/*
 * The product's own lifecycle table and restart policy, as the model calls them: there is no second
 * table to keep equal. Compiled with spin's verifier; with -DNAMES a program that prints the
 * product's constants as macros for the model, or (`names cells`) the cells of the table.
 * Kind, rules and the seeded bug are chosen by environment, so that one verifier serves all runs.
 */
#include "config/config.h"
#include "process_fsm.h"
#include "restart_policy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Seeded bugs, in the order of their numbers from 1. */
static const char *const bugs[] = { "NOINTERVAL", "NOCGROUP", "STALEPROBE", "STARTDURINGSTOP",
	"STOPNOTPERSISTED", "RELOADREARMS", "RELOADSTRIKES", "SHUTWAITING", "ADOPTBLIND",
	"PERSISTLATE", "ADOPTSTALE", "ADOPTUNWANTED", "STRIKESLOST", "UNKNOWNCOUNTS", "STALLBLAMED",
	"HELDNOTCANCELLED", "HELDFORGOTTEN", "POLICYIGNORED", "NOLOCK", "MAINONLY", "LOSTINTERVAL",
	"FOURSTRIKES", "REMOVEDRESTARTS", "CONFIGFORGOTTEN", "FINALFORGOTTEN", "EFAILLOST",
	"CLAIMEDFORGOTTEN", "TURNSKIPPED", "OLDKEPT", "NEEDSIGNORED" };
enum { BUGS = sizeof(bugs) / sizeof(bugs[0]) };

#ifdef NAMES
/* clang-format off */
#define ACTIONS(X) \
	X(ACT_NONE) X(ACT_START_NOW) X(ACT_START_LATER) X(ACT_RETRY_LATER) \
	X(ACT_FORGET) X(ACT_SPAWN) X(ACT_WATCH) X(ACT_ADOPT) \
	X(ACT_AWAIT) X(ACT_TERMINATE) X(ACT_SWEEP) X(ACT_LINGER) \
	X(ACT_KILL) X(ACT_REPORT_STUCK) X(ACT_HOLD) X(ACT_UNHOLD)
/* clang-format on */

static const char *action_name(enum process_action action)
{
#define NAME(a) [a] = #a,
	static const char *const names[] = { ACTIONS(NAME) };
#undef NAME
	return names[action];
}

static void say_cells(void)
{
	for (int s = 0; s < PROCESS_STATES; s++) {
		for (int e = 0; e < PROCESS_EVENTS; e++) {
			struct process_step step = process_step(
				(enum process_state)s, (enum process_event)e);
			if (step.next)
				printf("%s %s -> %s %s\n",
					process_state_name((enum process_state)s),
					process_event_name((enum process_event)e),
					process_state_name(step.next), action_name(step.action));
		}
	}
}

int main(int argc, char **argv)
{
	(void)argv;
	if (argc > 1) {
		say_cells();
		return 0;
	}
#define SAY(name) printf("#define %s %d\n", #name, name)
	for (int i = 0; i < PROCESS_EVENTS; i++)
		printf("#define %s %d\n", process_event_name((enum process_event)i), i);
	for (size_t i = 0; i < BUGS; i++)
		printf("#define BUG_%s BUG(%zu)\n", bugs[i], i + 1);
	SAY(PROCESS_STOPPED);
	SAY(PROCESS_STARTING);
	SAY(PROCESS_RUNNING);
	SAY(PROCESS_WAITING);
	SAY(PROCESS_STOPPING);
	SAY(PROCESS_STUCK);
	SAY(PROCESS_FAILED);
#define SAY_TOO(name) SAY(name);
	ACTIONS(SAY_TOO)
	SAY(CAUSE_NONE);
	SAY(CAUSE_EXIT);
	SAY(CAUSE_PROBE);
	SAY(CAUSE_OPERATOR);
	SAY(CAUSE_CONFIG);
	SAY(CAUSE_LOST);
	SAY(CAUSE_SHUTDOWN);
	return 0;
}
#else
enum { STATES = 16, EVENTS = 64, CAUSES = 16 }; /* as lifecycle.pml declares them */
_Static_assert(PROCESS_STATES <= STATES && PROCESS_EVENTS <= EVENTS && START_CAUSES <= CAUSES, "");

unsigned char model_next[STATES][EVENTS], model_action[STATES][EVENTS], model_met[STATES][EVENTS];
unsigned char model_allowed[CAUSES][2], model_automatic[CAUSES];
int model_bug, model_service, model_stop_held;
int model_interval;
int model_crashes, model_stalls; /* how many are explored */
int model_needs;		 /* it depends on others, and others on it */
int model_codes; /* exit codes matter: without a policy that looks at them all ends are alike */

static void ask_the_product(const struct config_restart *rules)
{
	for (int s = 0; s < PROCESS_STATES; s++) {
		for (int e = 0; e < PROCESS_EVENTS; e++) {
			struct process_step step = process_step(
				(enum process_state)s, (enum process_event)e);
			model_next[s][e] = (unsigned char)step.next;
			model_action[s][e] = (unsigned char)step.action;
		}
	}
	for (int c = 0; c < START_CAUSES; c++) {
		model_automatic[c] = start_is_automatic((enum start_cause)c);
		for (int failed = 0; failed < 2; failed++)
			model_allowed[c][failed] = restart_allowed(
				rules, (enum start_cause)c, failed);
	}
}

static int is(const char *variable, const char *value)
{
	const char *text = getenv(variable);
	return text && strcmp(text, value) == 0;
}

static void say_met(void)
{
	const char *path = getenv("MODEL_CELLS");
	FILE *out = path ? fopen(path, "a") : NULL;
	if (!out)
		return;
	for (int s = 0; s < PROCESS_STATES; s++)
		for (int e = 0; e < PROCESS_EVENTS; e++)
			if (model_met[s][e])
				fprintf(out, "%s %s\n", process_state_name((enum process_state)s),
					process_event_name((enum process_event)e));
	fclose(out);
}

__attribute__((constructor)) static void choose(void)
{
	model_service = is("MODEL_KIND", "service");
	model_stop_held = is("MODEL_HELD", "stop");
	struct config_restart rules = { 0 };
	model_interval = is("MODEL_INTERVAL", "long") ? 7 : 2;
	model_crashes = is("MODEL_CRASHES", "1");
	model_stalls = is("MODEL_STALLS", "1");
	model_needs = is("MODEL_NEEDS", "1");
	model_codes = is("MODEL_POLICY", "on-failure");
	rules.policy = is("MODEL_POLICY", "never")	  ? RESTART_NEVER
		       : is("MODEL_POLICY", "on-failure") ? RESTART_ON_FAILURE
							  : RESTART_ALWAYS;
	for (int i = 0; i < BUGS; i++)
		if (is("MODEL_BUG", bugs[i]))
			model_bug = i + 1;
	ask_the_product(&rules);
	atexit(say_met);
}
#endif
