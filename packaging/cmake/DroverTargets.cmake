# drover_library(base SOURCES a.c b.c NEEDS x y): one static library a folder of common/, target drover_<name>.
# Includes are written from the layer root ("ipc/channel.h").
function(drover_library name)
	cmake_parse_arguments(A "" "" "SOURCES;NEEDS" ${ARGN})
	add_library(drover_${name} STATIC ${A_SOURCES})
	target_include_directories(drover_${name} PUBLIC ${PROJECT_SOURCE_DIR}/common)
	target_link_libraries(drover_${name} PUBLIC ${A_NEEDS} PRIVATE drover_build_flags)
endfunction()

# add_worker_kind(crawl SOURCES ... NEEDS ...): the executable drover-crawl and the data-only library
# drover_kind_crawl (kind.c), which the supervisor links too to check configurations.
function(add_worker_kind name)
	cmake_parse_arguments(A "" "" "SOURCES;NEEDS" ${ARGN})
	add_library(drover_kind_${name} STATIC kind.c)
	target_include_directories(drover_kind_${name} PUBLIC ${PROJECT_SOURCE_DIR}/workers)
	target_link_libraries(drover_kind_${name} PUBLIC drover_config PRIVATE drover_build_flags)
	set_property(GLOBAL APPEND PROPERTY DROVER_KINDS drover_kind_${name})
	# The behaviour as a library, so that unit tests can link it; main.c makes the executable.
	add_library(drover_worker_${name} STATIC ${A_SOURCES})
	target_include_directories(drover_worker_${name} PUBLIC ${PROJECT_SOURCE_DIR}/workers)
	target_link_libraries(drover_worker_${name} PUBLIC drover_worker drover_kind_${name} ${A_NEEDS}
		PRIVATE drover_build_flags)
	add_executable(drover-${name} main.c)
	target_link_libraries(drover-${name} PRIVATE drover_worker_${name} drover_build_flags)
	install(TARGETS drover-${name} DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/drover)
endfunction()

# drover_unit_test(base/test_buf NEEDS drover_base [FAKES loop clock]): tests/unit/base/test_buf.c
# A fake is a library drover_fake_<x> linked before the real one (tests/unit/fakes).
function(drover_unit_test path)
	cmake_parse_arguments(A "" "" "NEEDS;SOURCES" ${ARGN})
	string(REPLACE "/" "_" target ${path})
	add_executable(unit_${target} ${path}.c ${A_SOURCES})
	target_include_directories(unit_${target} PRIVATE ${PROJECT_SOURCE_DIR}/tests/unit ${PROJECT_SOURCE_DIR}/common)
	target_link_libraries(unit_${target} PRIVATE ${A_NEEDS} PkgConfig::CMOCKA drover_build_flags)
	add_test(NAME unit/${path} COMMAND unit_${target})
	set_tests_properties(unit/${path} PROPERTIES LABELS unit TIMEOUT 120
		ENVIRONMENT "DROVER_SOURCE=${PROJECT_SOURCE_DIR}")
endfunction()
