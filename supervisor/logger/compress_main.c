/* SPDX-License-Identifier: MIT */
/*
 * drover-compress: standard input, a rotated log, to standard output as zstd. In front stands a
 * frame that decompressors skip: "drover", the inode that the log had and the time of its making,
 * by which who follows it knows it again.
 */
#include <errno.h>
#include <fcntl.h>
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

static int put_head(const struct statx *stx)
{
	struct __attribute__((packed)) {
		uint32_t magic, size;
		char word[8];
		uint64_t inode;
		int64_t born_ns;
	} head = { .magic = ZSTD_MAGIC_SKIPPABLE_START, .size = 24, .inode = stx->stx_ino };
	if (stx->stx_mask & STATX_BTIME)
		head.born_ns = stx->stx_btime.tv_sec * 1000000000LL + stx->stx_btime.tv_nsec;
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
	struct statx stx;
	ssize_t n;
	if (statx(STDIN_FILENO, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &stx) == -1 ||
		put_head(&stx) == -1)
		return -1;
	ZSTD_CCtx_setParameter(ctx, ZSTD_c_compressionLevel, LEVEL);
	ZSTD_CCtx_setParameter(ctx, ZSTD_c_checksumFlag, 1);
	ZSTD_CCtx_setPledgedSrcSize(ctx, stx.stx_size);
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
