/* SPDX-License-Identifier: MIT */
#include "collect/token_file.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/json_out.h"
#include "base/mem.h"
#include "base/str.h"
#include "collect/payload.h"
#include "config/config.h"
#include "json/record.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_MAX = 256 * 1024 };

static void wipe(char *text)
{
	if (text)
		explicit_bzero(text, strlen(text));
	free(text);
}

void token_finish(struct token *token)
{
	wipe(token->access);
	wipe(token->refresh);
	*token = (struct token) { 0 };
}

int token_file_init(struct token_file *out, const char *state_dir, const char *provider,
	const char *client, struct err *err)
{
	char folder[4096];
	struct token_file file = { .lock_fd = -1 };
	snprintf(folder, sizeof(folder), "%s/tokens", state_dir);
	if (mkdir(folder, 0700) == -1 && errno != EEXIST)
		return err_sys(err, -errno, "folder %s", folder);
	if (asprintf(&file.path, "%s/%s.json", folder, provider) < 0)
		file.path = NULL;
	if (asprintf(&file.lock_path, "%s/%s.lock", folder, provider) < 0)
		file.lock_path = NULL;
	if (!file.path || !file.lock_path) {
		token_file_finish(&file);
		return err_set(err, -ENOMEM, "out of memory");
	}
	(void)str_copy(file.client, sizeof(file.client), client);
	*out = file;
	return 0;
}

void token_file_finish(struct token_file *file)
{
	token_file_unlock(file);
	free(file->path);
	free(file->lock_path);
	file->path = file->lock_path = NULL;
}

int token_file_lock(struct token_file *file)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1 };
	int fd = open(file->lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd == -1)
		return -errno;
	if (fcntl(fd, F_OFD_SETLK, &lock) == -1) {
		int rc = errno == EACCES || errno == EAGAIN ? -EAGAIN : -errno;
		close(fd);
		return rc;
	}
	file->lock_fd = fd;
	return 0;
}

void token_file_unlock(struct token_file *file)
{
	if (file->lock_fd >= 0)
		close(file->lock_fd);
	file->lock_fd = -1;
}

/* ---- what is in it ---- */

static int text_of(char **out, struct json_record *record, const char *name)
{
	struct json_value value = { 0 };
	int rc = payload_member(record, name, COLUMN_TEXT, &value, NULL);
	if (rc < 0 || value.type != JSON_VALUE_TEXT || !value.len)
		return rc;
	*out = strndup(value.text, value.len);
	return *out ? 0 : -ENOMEM;
}

static int number_of(int64_t *out, struct json_record *record, const char *name)
{
	struct json_value value = { 0 };
	int rc = payload_member(record, name, COLUMN_INTEGER, &value, NULL);
	*out = rc == 0 && value.type == JSON_VALUE_INT ? value.i : 0;
	return rc;
}

static int parse(const struct token_file *file, const char *text, size_t len, struct token *out)
{
	CLEANUP(json_record_freep) struct json_record *record = NULL;
	CLEANUP(freep) char *client = NULL;
	int rc = json_record_new(&record, text, len, NULL);
	if (rc == 0)
		rc = text_of(&client, record, "client");
	/* A file that is not ours, or damaged: as if there were none. */
	if (rc < 0 || !client || !str_eq(client, file->client))
		return rc == -ENOMEM ? rc : 0;
	rc = text_of(&out->access, record, "access_token");
	if (rc == 0)
		rc = text_of(&out->refresh, record, "refresh_token");
	if (rc == 0)
		rc = number_of(&out->ends_ms, record, "ends_ms");
	if (rc == 0)
		rc = number_of(&out->life_ms, record, "life_ms");
	if (rc == 0)
		return 0;
	token_finish(out);
	return rc == -ENOMEM ? rc : 0;
}

int token_file_read(const struct token_file *file, struct token *out)
{
	*out = (struct token) { 0 };
	int fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd == -1)
		return errno == ENOENT ? 0 : -EIO;
	char *text = malloc(FILE_MAX);
	ssize_t len = text ? read(fd, text, FILE_MAX) : -1;
	close(fd);
	int rc = !text ? -ENOMEM : len < 0 ? -EIO : parse(file, text, (size_t)len, out);
	if (text && len > 0)
		explicit_bzero(text, (size_t)len);
	free(text);
	return rc;
}

static void compose(const struct token_file *file, const struct token *token, struct buf *out)
{
	struct json_out json;
	json_out_init(&json, out);
	json_open_object(&json, NULL);
	json_str(&json, "client", file->client);
	json_str(&json, "access_token", token->access);
	json_str(&json, "refresh_token", token->refresh);
	json_int(&json, "ends_ms", token->ends_ms);
	json_int(&json, "life_ms", token->life_ms);
	json_close_object(&json);
}

static int write_durably(int fd, const struct buf *text)
{
	for (size_t at = 0; at < text->len;) {
		ssize_t n = write(fd, text->data + at, text->len - at);
		if (n == -1 && errno != EINTR)
			return -errno;
		at += n > 0 ? (size_t)n : 0;
	}
	return fsync(fd) == -1 ? -errno : 0;
}

static int sync_folder(const char *path)
{
	char folder[4096];
	(void)str_copy(folder, sizeof(folder), path);
	*strrchr(folder, '/') = '\0';
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd == -1)
		return -errno;
	int rc = fsync(fd) == -1 ? -errno : 0;
	close(fd);
	return rc;
}

int token_file_write(const struct token_file *file, const struct token *token, struct err *err)
{
	CLEANUP(freep) char *temporary = NULL;
	struct buf text = { .max = FILE_MAX };
	if (asprintf(&temporary, "%s.new", file->path) < 0) {
		temporary = NULL;
		return err_set(err, -ENOMEM, "out of memory");
	}
	compose(file, token, &text);
	/* Only who holds the lock writes: what is there is left over. */
	(void)unlink(temporary);
	int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int rc = buf_failed(&text) ? -ENOMEM : fd == -1 ? -errno : write_durably(fd, &text);
	if (fd != -1)
		close(fd);
	if (rc == 0 && rename(temporary, file->path) == -1)
		rc = -errno;
	if (rc == 0)
		rc = sync_folder(file->path);
	if (text.data)
		explicit_bzero(text.data, text.cap);
	buf_finish(&text);
	return rc < 0 ? err_sys(err, rc, "keep the token of a provider in %s", file->path) : 0;
}
