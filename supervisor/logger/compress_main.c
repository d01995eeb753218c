/* SPDX-License-Identifier: MIT */
/*
 * drover-compress: standard input, a rotated log, to standard output as zstd. In front stands a
 * frame that decompressors skip: "drover" and the inode that the log had, by which who follows it
 * knows it again.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

enum { CHUNK = 131072, LEVEL = 3 };
static char in_bytes[CHUNK], out_bytes[CHUNK];

static int put(const void *data, size_t len)
{
	for (const char *at = data; len > 0;) {
		ssize_t n = write(STDOUT_FILENO, at, len);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return -1;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

static int put_head(const struct stat *st)
{
	struct __attribute__((packed)) {
		uint32_t magic, size;
		char word[8];
		uint64_t inode;
	} head = { .magic = ZSTD_MAGIC_SKIPPABLE_START, .size = 16, .inode = st->st_ino };
	memcpy(head.word, "drover\0", sizeof(head.word));
	return put(&head, sizeof(head));
}

/* One chunk, or with len 0 the end. */
static int pack(ZSTD_CCtx *ctx, size_t len)
{
	ZSTD_inBuffer in = { in_bytes, len, 0 };
	ZSTD_EndDirective mode = len ? ZSTD_e_continue : ZSTD_e_end;
	size_t rest;
	do {
		ZSTD_outBuffer out = { out_bytes, sizeof(out_bytes), 0 };
		rest = ZSTD_compressStream2(ctx, &out, &in, mode);
		if (ZSTD_isError(rest)) {
			errno = ENOMEM;
			return -1;
		}
		if (put(out_bytes, out.pos) == -1)
			return -1;
	} while (len ? in.pos < in.size : rest > 0);
	return 0;
}

static int run(ZSTD_CCtx *ctx)
{
	struct stat st;
	ssize_t n;
	if (fstat(STDIN_FILENO, &st) == -1 || put_head(&st) == -1)
		return -1;
	ZSTD_CCtx_setParameter(ctx, ZSTD_c_compressionLevel, LEVEL);
	ZSTD_CCtx_setParameter(ctx, ZSTD_c_checksumFlag, 1);
	ZSTD_CCtx_setPledgedSrcSize(ctx, (unsigned long long)st.st_size);
	while ((n = read(STDIN_FILENO, in_bytes, sizeof(in_bytes))) > 0)
		if (pack(ctx, (size_t)n) == -1)
			return -1;
	if (n == -1 || pack(ctx, 0) == -1)
		return -1;
	/* The plain file goes when we are done: a power cut must find one of the two. */
	return fsync(STDOUT_FILENO);
}

int main(void)
{
	ZSTD_CCtx *ctx = ZSTD_createCCtx();
	if (!ctx)
		return 1;
	int rc = run(ctx);
	ZSTD_freeCCtx(ctx);
	return rc == -1 ? 1 : 0;
}
