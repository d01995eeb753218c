# SPDX-License-Identifier: MIT
"""
Due times against the oracle of cron_oracle.py. Short here; DROVER_ORACLE=100000 tries that many expressions over all
twenty zones, DROVER_SEED others.
"""
import os

import cron_oracle
from harness import BUILD

COUNT = int(os.environ.get("DROVER_ORACLE", 0))
SEED = int(os.environ.get("DROVER_SEED", 20261121))
SHORT = ("Australia/Lord_Howe", "Africa/Casablanca", "Pacific/Apia")


def test_an_oracle_that_shares_nothing_agrees_on_every_due_time():
    zones = [z for z in cron_oracle.ZONES if COUNT or z[0] in SHORT]
    times, refused, never, wrong = cron_oracle.trial(BUILD / "bin/cron_bits", zones, COUNT or 150, SEED,
                                                     lambda text: print(text, flush=True))
    assert not wrong, "\n".join(wrong)
    assert times > 100000 and refused > 0
