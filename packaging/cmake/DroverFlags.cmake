# drover_build_flags: warnings, hardening, sanitizers. Every target links it privately.
add_library(drover_build_flags INTERFACE)
target_compile_features(drover_build_flags INTERFACE c_std_17)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

target_compile_definitions(drover_build_flags INTERFACE _GNU_SOURCE DROVER_VERSION="${PROJECT_VERSION}")
target_compile_options(drover_build_flags INTERFACE
	-Wall -Wextra -Wshadow -Wmissing-prototypes -Wstrict-prototypes -Wvla -Wpointer-arith
	-Wwrite-strings -Wformat=2 -Werror=format-security -Werror=implicit-function-declaration
	-fno-strict-aliasing -fno-delete-null-pointer-checks -fno-strict-overflow -fno-common)
if(DROVER_WERROR)
	target_compile_options(drover_build_flags INTERFACE -Werror)
endif()
if(DROVER_MUTANTS)
	target_compile_definitions(drover_build_flags INTERFACE DROVER_MUTANTS=1)
endif()

if(DROVER_SANITIZE STREQUAL "asan")
	set(san -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer)
	target_compile_definitions(drover_build_flags INTERFACE DROVER_ASAN=1)
elseif(DROVER_SANITIZE STREQUAL "tsan")
	set(san -fsanitize=thread -fno-omit-frame-pointer)
	target_compile_definitions(drover_build_flags INTERFACE DROVER_TSAN=1)
elseif(DROVER_SANITIZE STREQUAL "none")
	set(san)
else()
	message(FATAL_ERROR "DROVER_SANITIZE is none, asan or tsan, not ${DROVER_SANITIZE}")
endif()
if(san)
	target_compile_definitions(drover_build_flags INTERFACE
		DROVER_SANITIZER_LOG="${PROJECT_BINARY_DIR}/sanitizer/report")
	file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/sanitizer)
endif()
if(DROVER_FUZZ)
	list(APPEND san -fsanitize=fuzzer-no-link)
elseif(DROVER_SANITIZE STREQUAL "asan")
	# Unit tests take a fifth of the time that they take without.
	list(APPEND san -O1)
endif()
if(san)
	# An object in each program: the runtime has weak defaults of its own, so an archive's member is never asked for.
	add_library(drover_sanitizer OBJECT ${PROJECT_SOURCE_DIR}/common/base/sanitizer.c)
	target_compile_definitions(drover_sanitizer PRIVATE
		$<TARGET_PROPERTY:drover_build_flags,INTERFACE_COMPILE_DEFINITIONS>)
	target_sources(drover_build_flags INTERFACE
		$<$<STREQUAL:$<TARGET_PROPERTY:TYPE>,EXECUTABLE>:$<TARGET_OBJECTS:drover_sanitizer>>)
	target_compile_options(drover_build_flags INTERFACE ${san})
	target_link_options(drover_build_flags INTERFACE ${san})
endif()

if(DROVER_COVERAGE)
	target_compile_options(drover_build_flags INTERFACE --coverage)
	target_link_options(drover_build_flags INTERFACE --coverage)
endif()

if(CMAKE_BUILD_TYPE STREQUAL "RelWithDebInfo" AND DROVER_SANITIZE STREQUAL "none")
	set(fortify 2)
	if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
		set(fortify 3)
	endif()
	# gcc 12 takes these; cf-protection emits endbr only and is not counted on.
	target_compile_options(drover_build_flags INTERFACE
		"SHELL:-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=${fortify}" -fstack-protector-strong -fstack-clash-protection
		-ftrivial-auto-var-init=zero -fPIE)
	if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
		target_compile_options(drover_build_flags INTERFACE
			-fzero-call-used-regs=used-gpr)
	endif()
	if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64")
		target_compile_options(drover_build_flags INTERFACE -fcf-protection=full)
	endif()
	target_link_options(drover_build_flags INTERFACE
		-pie -Wl,-z,relro,-z,now,-z,noexecstack,-z,separate-code)
endif()
