"""Benchmark: quickstart's recipe on the fixed cohort of 44 synthetic spines, all of T4 to L5.

`vfseg.synthesis.phantom.benchmark` says what the cohort is and how it was chosen.

    python -m benchmarks.studies.floors --config configs/benchmark_cohort.py
    python -m vfseg.main --config configs/benchmark_cohort.py

The first command makes the cohort, compares it with MASKS_SHA256 and prints its floors.
"""

from pathlib import Path

from ml_collections import ConfigDict

from vfseg.config.derive import derive
from vfseg.synthesis.phantom.benchmark import BENCHMARK

MASKS_SHA256 = "9ba1eaa8da33358ec570edd06d22baf1f41f63ab6cebc2018b02c1c3a6410270"
"""`vfseg.synthesis.phantom.cohort_hash` of it: of its vertebra label maps and fracture masks."""

QUICKSTART = Path(__file__).with_name("quickstart.py")


def get_config() -> ConfigDict:
    return derive(QUICKSTART, BENCHMARK)
