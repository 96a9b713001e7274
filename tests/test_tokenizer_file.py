"""A tokenizer.json, given by itself or by its directory; what is none is told in one line."""

from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from common.tokenizer_file import TokenizerError, load_tokenizer
from tests.data_commands import SAMPLE, run


@pytest.fixture
def file(tmp_path: Path) -> Path:
    tokenizer = Tokenizer(models.WordLevel({"a": 0, "b": 1}, unk_token="a"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    return tmp_path / "tokenizer.json"


def test_the_file_and_its_directory_give_the_same(file: Path) -> None:
    for path in (file, file.parent):
        assert load_tokenizer(path).encode("a b a").ids == [0, 1, 0]


@pytest.mark.parametrize("kept", [0, 0.5])
def test_a_broken_one_is_told_in_one_line(file: Path, kept: float) -> None:
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(TokenizerError, match="not a tokenizer") as error:
        load_tokenizer(file)
    assert "\n" not in str(error.value) and str(file) in str(error.value)


def test_commands_tell_it_instead_of_a_traceback(file: Path, tmp_path: Path) -> None:
    file.write_text("{}")
    testset = SAMPLE.parent / "testset_basic.docx"
    done = run("stats", testset, "--tokenizer", tmp_path, ok=False)
    assert "not a tokenizer" in done.stderr
    assert "no such file" in run("stats", testset, "--tokenizer", tmp_path / "x", ok=False).stderr
