"""Any damage to a model directory is answered in words: its header, configuration and index."""

import json
import shutil

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from common.model_files import model_files_problems
from common.safetensors_header import ModelFileError, read_header
from tests.model_dirs import CONFIG, write_model


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("whole") / "model")


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_damage_to_the_header_or_the_length_is_told_in_words(whole, tmp_path_factory, data):
    """The safetensors library refuses the same files; ours must not say less, nor crash."""
    from safetensors import SafetensorError, safe_open

    path = tmp_path_factory.mktemp("damaged") / "model.safetensors"
    shutil.copy(whole / "model.safetensors", path)
    content = bytearray(path.read_bytes())
    header = 8 + int.from_bytes(content[:8], "little")
    at = data.draw(st.integers(0, header - 1))
    if data.draw(st.booleans()):
        content[at] = data.draw(st.integers(0, 255))
    else:
        del content[at : at + data.draw(st.integers(1, 3))]
    path.write_bytes(content)
    try:
        with safe_open(path, framework="np") as stream:
            names = set(stream.keys())
    except (SafetensorError, OSError) as error:
        assume("unknown variant" not in str(error))  # number formats to come are not refused here
        names = None
    if names is None:
        with pytest.raises(ModelFileError, match=r"model\.safetensors"):
            read_header(path)
    else:  # what the library reads, a changed name say, is read here as well
        assert set(read_header(path)) == names


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from([*CONFIG, "quantization_config"]), JSON), JSON, JSON)
def test_any_configuration_and_index_are_answered_in_words(whole, fields, index, tokenizer):
    config, changed = whole / "config.json", {"model_type": "qwen3", **fields}
    before = config.read_bytes()
    extra = whole / "model.safetensors.index.json"
    try:
        config.write_text(json.dumps({**CONFIG, **changed}))
        extra.write_text(json.dumps({"weight_map": index}))
        (whole / "tokenizer.json").write_text(json.dumps(tokenizer))
        assert all("\n" not in problem for problem in model_files_problems(whole))
    finally:
        config.write_bytes(before)
        extra.unlink()
        (whole / "tokenizer.json").write_text("{}")
