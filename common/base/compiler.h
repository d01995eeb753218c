/* SPDX-License-Identifier: MIT */
#pragma once
/* Attributes and tiny macros that every file may use. */
#include <stddef.h>

#define MUST_CHECK	       __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#define UNUSED		       __attribute__((unused))
#define NORETURN	       __attribute__((noreturn))

/* CLEANUP(x_freep) struct x *x = ...: releases at the end of the scope. */
#define CLEANUP(fn)	       __attribute__((cleanup(fn)))
/* Ownership leaves the variable: its cleanup sees NULL. */
#define TAKE(p)                                \
	({                                     \
		__typeof__(p) take_tmp_ = (p); \
		(p) = NULL;                    \
		take_tmp_;                     \
	})
/* Defines x_freep for CLEANUP from x_free. */
#define DEFINE_FREEP(type, name)                  \
	static inline void name##_freep(type **p) \
	{                                         \
		if (*p)                           \
			name##_free(*p);          \
	}

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b)                                  \
	({                                         \
		__typeof__(a) min_a_ = (a);        \
		__typeof__(b) min_b_ = (b);        \
		min_a_ < min_b_ ? min_a_ : min_b_; \
	})
#define MAX(a, b)                                  \
	({                                         \
		__typeof__(a) max_a_ = (a);        \
		__typeof__(b) max_b_ = (b);        \
		max_a_ > max_b_ ? max_a_ : max_b_; \
	})
#define CONTAINER_OF(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))
