"""Settings: from the environment, all errors at once, and README's table of them."""

from pathlib import Path

import pytest

from answering.settings import Settings, SettingsError, load_settings, settings_table


def test_the_environment_sets_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAX_TOKENS", "77")
    monkeypatch.setenv("ENGINE_ARGS", '{"block_size": 32}')
    monkeypatch.setenv("ENFORCE_EAGER", "1")
    settings = load_settings()
    assert (settings.max_tokens, settings.enforce_eager) == (77, True)
    assert settings.engine_args == {"block_size": 32}


def test_all_bad_ones_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVE_MODE", "quick")
    monkeypatch.setenv("MAX_TOKENS", "many")
    monkeypatch.setenv("GPU_MEMORY_UTILIZATION", "1.5")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    for name in ("SERVE_MODE", "MAX_TOKENS", "GPU_MEMORY_UTILIZATION"):
        assert name in str(caught.value)


def test_broken_json_names_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGINE_ARGS", "{block_size: 32}")
    with pytest.raises(SettingsError, match="ENGINE_ARGS"):
        load_settings()


def test_the_defaults_keep_the_judges_limits() -> None:
    settings = Settings()
    assert settings.predict_budget_s < 360
    assert settings.health_budget_s < 180
    assert settings.serve_mode == "batch"


def test_readme_has_the_table_of_the_class() -> None:
    readme = Path(__file__).parents[1].joinpath("README.md").read_text("utf-8")
    assert settings_table() in readme, "run: python -m answering.settings, and paste it"
