/* SPDX-License-Identifier: MIT */
/*
 * Options of the sanitizers, compiled in because processes get built environments. Reports go to
 * files named by DROVER_SANITIZER_LOG (a build-time path); tests/sanitizer_reports says which of
 * them fail the run of tests.
 */
#if defined(DROVER_ASAN) || defined(DROVER_TSAN)
#ifndef DROVER_SANITIZER_LOG
#error "the build says where reports go (packaging/cmake/DroverFlags.cmake)"
#endif
const char *__asan_default_options(void);
const char *__ubsan_default_options(void);
const char *__tsan_default_options(void);
const char *__lsan_default_options(void);

const char *__asan_default_options(void)
{
	return "log_path=" DROVER_SANITIZER_LOG ":detect_leaks=1:abort_on_error=0:exitcode=99";
}

const char *__ubsan_default_options(void)
{
	return "log_path=" DROVER_SANITIZER_LOG ":print_stacktrace=1";
}

const char *__tsan_default_options(void)
{
	return "log_path=" DROVER_SANITIZER_LOG ":exitcode=99:die_after_fork=0";
}

const char *__lsan_default_options(void)
{
	return "exitcode=99";
}
#endif
typedef int drover_sanitizer_not_empty;
