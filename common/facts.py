"""Recorded facts (facts.json): the judge's limits, its base image, devices, workloads, measurements
and assumptions, each with its source. Light: only the standard library is imported.
"""

import json
from pathlib import Path
from typing import Any

from common.language import either

FACTS: dict[str, Any] = json.loads(
    Path(__file__).with_name("facts.json").read_text(encoding="utf-8")
)
BUILD_LIMIT_S = float(FACTS["judge"]["build_s"])
HEALTH_LIMIT_S = float(FACTS["judge"]["health_s"])
PREDICT_LIMIT_S = float(FACTS["judge"]["predict_s"])
WANTED_ACCURACY = float(FACTS["judge"]["wanted_accuracy"])
JUDGES_DEVICE: str = FACTS["judge"]["device"]  # a key of FACTS["devices"]


def measured(name: str) -> float:
    """A measurement's value; FACTS["measured"][name]["source"] says where it was taken."""
    return float(FACTS["measured"][name]["value"])


def assumed(name: str) -> float:
    """An assumption's value; FACTS["assumed"][name]["why"] says why it is made."""
    return float(FACTS["assumed"][name]["value"])


def download_seconds(size: float) -> float:
    """Seconds that `size` bytes take in the judge's build: its line's rate, and the safety factor
    for what the line shares and protocols add."""
    return size * 8 / FACTS["judge"]["line_bits_per_s"] * assumed("network_factor")


def download_rate() -> str:
    """`download_seconds`' rate in words."""
    megabits = FACTS["judge"]["line_bits_per_s"] / 1e6
    factor = assumed("network_factor")
    return either(f"{megabits:g} Mbit/s 再乘 {factor:g}", f"{megabits:g} Mbit/s, times {factor:g}")
