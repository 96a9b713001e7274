"""Settings: from the environment, all errors at once, and the page's table of them."""

from pathlib import Path

import pytest

from common.facts import HEALTH_LIMIT_S, PREDICT_LIMIT_S
from serving.settings import Settings, SettingsError, load_settings, settings_table


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


@pytest.fixture
def settings_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`serve.env` where the service starts, as in the image."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SETTINGS_FILE")
    return tmp_path / "serve.env"


def test_a_settings_file_is_read_and_the_environment_wins(
    settings_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load_settings().max_tokens == 640  # no file, no error
    settings_file.write_text('# tuned\nMAX_TOKENS=77\nENGINE_ARGS={"block_size": 32}\n', "utf-8")
    assert load_settings().max_tokens == 77
    assert load_settings().engine_args == {"block_size": 32}
    monkeypatch.setenv("MAX_TOKENS", "78")
    assert load_settings().max_tokens == 78
    monkeypatch.setenv("SETTINGS_FILE", "")
    monkeypatch.delenv("MAX_TOKENS")
    assert load_settings().max_tokens == 640


@pytest.mark.parametrize("line", ["MAX_TOKEN=77", "MAX_TOKENS=many", "SETTINGS_FILE=other.env"])
def test_a_wrong_line_of_the_file_is_named(settings_file: Path, line: str) -> None:
    settings_file.write_text(line + "\n", "utf-8")
    with pytest.raises(SettingsError, match="serve.env") as caught:
        load_settings()
    assert line.partition("=")[0] in str(caught.value)


def test_a_file_that_was_named_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SETTINGS_FILE", "nowhere.env")
    with pytest.raises(SettingsError, match=r"nowhere\.env"):
        load_settings()


def test_the_defaults_keep_the_judges_limits() -> None:
    settings = Settings()
    assert settings.predict_budget_s < PREDICT_LIMIT_S
    assert settings.health_budget_s < HEALTH_LIMIT_S
    assert settings.serve_mode == "batch"


def test_the_page_has_the_table_of_the_class() -> None:
    page = Path(__file__).parents[1].joinpath("docs/serving.md").read_text("utf-8")
    assert settings_table() in page, "run: python -m serving.settings, and paste it"
