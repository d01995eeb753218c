# SPDX-License-Identifier: MIT
import os

# What the disk costs is a part of what is measured here; before anybody imports postgres_server.
os.environ.setdefault("DROVER_TEST_POSTGRES_FSYNC", "on")
