/* SPDX-License-Identifier: MIT */
#pragma once
/* Text files of this folder, built into the program (CMakeLists.txt, embed). */
extern const char file_starter_yaml[];
extern const char file_demo_service_py[];
extern const char file_demo_audit_py[];
