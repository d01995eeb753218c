# drover_library(base SOURCES a.c b.c NEEDS x y): one static library a folder of common/, target drover_<name>.
# Includes are written from the layer root ("ipc/channel.h").
function(drover_library name)
	cmake_parse_arguments(A "" "" "SOURCES;NEEDS" ${ARGN})
	add_library(drover_${name} STATIC ${A_SOURCES})
	target_include_directories(drover_${name} PUBLIC ${PROJECT_SOURCE_DIR}/common)
	target_link_libraries(drover_${name} PUBLIC ${A_NEEDS} PRIVATE drover_build_flags)
endfunction()

# add_worker_kind(crawl SOURCES ... NEEDS ...): the executable drover-crawl. Its data (kind.c) is the library
# drover_kind_crawl, made in workers/CMakeLists.txt, which the supervisor links too to check configurations.
function(add_worker_kind name)
	cmake_parse_arguments(A "" "" "SOURCES;NEEDS" ${ARGN})
	# The behaviour as a library, so that unit tests can link it; main.c makes the executable.
	add_library(drover_worker_${name} STATIC ${A_SOURCES})
	target_include_directories(drover_worker_${name} PUBLIC ${PROJECT_SOURCE_DIR}/workers)
	target_link_libraries(drover_worker_${name} PUBLIC drover_worker drover_kind_${name} ${A_NEEDS}
		PRIVATE drover_build_flags)
	add_executable(drover-${name} main.c)
	target_link_libraries(drover-${name} PRIVATE drover_worker_${name} drover_build_flags)
	install(TARGETS drover-${name} DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/drover)
endfunction()

# drover_unit_test(base/test_buf NEEDS drover_base [SOURCES x.c]): in tests/unit/base/CMakeLists.txt, from test_buf.c.
# A fake (tests/unit/fakes) named before the room that uses it replaces the real loop, clock or system calls.
function(drover_unit_test path)
	cmake_parse_arguments(A "" "" "NEEDS;SOURCES" ${ARGN})
	get_filename_component(test ${path} NAME)
	get_filename_component(room ${CMAKE_CURRENT_SOURCE_DIR} NAME)
	set(target unit_${room}_${test})
	add_executable(${target} ${test}.c ${A_SOURCES})
	target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/tests/unit ${PROJECT_SOURCE_DIR}/common)
	target_link_libraries(${target} PRIVATE ${A_NEEDS} PkgConfig::CMOCKA drover_build_flags)
	add_test(NAME unit/${room}/${test} COMMAND ${target})
	set_tests_properties(unit/${room}/${test} PROPERTIES LABELS unit TIMEOUT 120
		ENVIRONMENT "DROVER_SOURCE=${PROJECT_SOURCE_DIR}")
endfunction()
