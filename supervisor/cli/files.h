/* SPDX-License-Identifier: MIT */
#pragma once
/* Text files of this folder and of etc/presets, built into the program (CMakeLists.txt). */
extern const char file_starter_yaml[];
extern const char file_demo_service_py[];
extern const char file_demo_audit_py[];
extern const char file_stable_yaml[];
extern const char file_production_yaml[];
extern const char file_high_performance_yaml[];
