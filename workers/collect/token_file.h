/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * STATE_DIR/tokens/PROVIDER.json: the token that all processes of a host share, 0600 in a folder
 * of 0700. Blocks for the file system only.
 */
#include "base/compiler.h"
#include <stdbool.h>
#include <stdint.h>

struct err;

struct token {
	char *access, *refresh; /* NULL: none */
	int64_t ends_ms;	/* wall clock */
	int64_t life_ms;	/* that the server gave it */
};
void token_finish(struct token *token); /* wipes and empties it */

struct token_file {
	char *path, *lock_path;
	char client[17]; /* hash of whose token it is: another's is as good as none */
	int lock_fd;	 /* -1: not held */
};
int token_file_init(struct token_file *out, const char *state_dir, const char *provider,
	const char *client, struct err *err) MUST_CHECK;
void token_file_finish(struct token_file *file);
/** @return 0: it is ours until token_file_unlock() or our death; -EAGAIN: somebody else's */
int token_file_lock(struct token_file *file) MUST_CHECK;
void token_file_unlock(struct token_file *file);
/** @return 0 and *out for token_finish(), empty when there is none of this client; -EIO */
int token_file_read(const struct token_file *file, struct token *out) MUST_CHECK;
/** Durable when it returns 0. */
int token_file_write(
	const struct token_file *file, const struct token *token, struct err *err) MUST_CHECK;
