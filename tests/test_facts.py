"""The recorded facts: sources named, and one value wherever two places must agree."""

from pathlib import Path

import pytest

from common.device_table import KEYS, device, device_named
from common.facts import BUILD_LIMIT_S, FACTS, JUDGES_DEVICE, download_seconds
from serving.engine import devices
from serving.settings import Settings


def test_every_recorded_fact_names_its_source():
    for group in ("devices", "workloads", "measured"):
        assert all(record["source"] for record in FACTS[group].values())
    assert FACTS["base_image"]["source"] and FACTS["judge"]["source"]
    assert all(record["why"] for record in FACTS["assumed"].values())


@pytest.mark.parametrize("key", KEYS)
def test_devices_run_as_many_answers_at_once_as_the_service_asks_vllm_for(key):
    record = FACTS["devices"][key]
    defaults = getattr(devices, record["kind"])("any")
    assert record["max_num_seqs"] == defaults.engine_args["max_num_seqs"]


def test_devices_are_found_by_the_name_that_torch_tells():
    assert device_named("NVIDIA H100 80GB HBM3") == device("h100")
    assert device_named("NVIDIA H200") is None and device_named("cpu") is None
    assert device(JUDGES_DEVICE).memory_bytes == 64e9


def test_this_processor_is_measured():
    here = device("cpu")
    assert here.bytes_per_s > 1e8 and here.flops_per_s and here.flops_per_s > 1e8


def test_downloads_take_the_lines_rate_and_a_quarter_more():
    assert download_seconds(100e6) == 10.0  # 800 Mbit at 100 Mbit/s take 8 s


def test_the_download_leaves_the_build_time_for_the_rest():
    import download_model  # in the image, where the facts are not

    assert download_model.parse(["owner/name"]).budget_s < BUILD_LIMIT_S


def test_the_services_defaults_are_its_own():
    told = {name: value for name, value in FACTS["service"].items() if name != "source"}
    fields = Settings.model_fields
    assert told == {n: str(d) if isinstance(d := fields[n].default, Path) else d for n in told}
