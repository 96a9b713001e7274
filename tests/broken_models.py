"""Ways to break a model directory, for the tests that want each one named."""

import json
from pathlib import Path

from common.safetensors_header import read_header
from tests.model_dirs import CONFIG, shapes_of, write_safetensors

PARTS = [f"model-0000{n}-of-00003.safetensors" for n in (1, 2, 3)]


def change(path: Path, **fields) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def renamed(old: str, new: str):
    def act(model: Path) -> None:
        shapes = {k.replace(old, new, 1): v for k, v in shapes_of(CONFIG).items()}
        write_safetensors(model / "model.safetensors", shapes)

    return act


def cut(name: str, keep: float):
    def act(model: Path) -> None:
        data = (model / name).read_bytes()
        (model / name).write_bytes(data[: int(len(data) * keep)])

    return act


def without(*lost: str):
    def act(model: Path) -> None:
        shapes = {k: v for k, v in shapes_of(CONFIG).items() if not any(x in k for x in lost)}
        write_safetensors(model / "model.safetensors", shapes)

    return act


def with_more(shapes: dict):
    def act(model: Path) -> None:
        write_safetensors(model / "model.safetensors", {**shapes_of(CONFIG), **shapes})

    return act


def filled(value: bytes, only: str = ""):
    """All weights, or one of them, made of one 16-bit number."""

    def act(model: Path) -> None:
        path = model / "model.safetensors"
        data = bytearray(path.read_bytes())
        for name, tensor in read_header(path).items():
            if name == only or not only:
                data[tensor.start : tensor.end] = value * ((tensor.end - tensor.start) // 2)
        path.write_bytes(data)

    return act


def only(name: str):
    def act(model: Path) -> None:
        (model / "model.safetensors").unlink()
        (model / name).parent.mkdir(exist_ok=True)
        (model / name).write_bytes(b"weights")

    return act


def adapter_beside_bin(model: Path) -> None:
    only("pytorch_model.bin")(model)
    write_safetensors(model / "adapter_model.safetensors", {"a.lora_A.weight": [8, 64]})


def quantized_without_config(model: Path) -> None:
    shapes = {k.replace("proj.weight", "proj.qweight"): v for k, v in shapes_of(CONFIG).items()}
    write_safetensors(model / "model.safetensors", shapes)


def own_head_in_a_tied_model(model: Path) -> None:
    shapes = {**shapes_of(CONFIG), "lm_head.weight": [300, 64]}
    write_safetensors(model / "model.safetensors", shapes)


def only_nan(model: Path) -> None:
    """An untied head all of NaN, as float16 training leaves it."""
    path = model / "model.safetensors"
    change(model / "config.json", tie_word_embeddings=False)
    write_safetensors(path, {**shapes_of(CONFIG), "lm_head.weight": [300, 64]})
    head = read_header(path)["lm_head.weight"]
    with path.open("r+b") as stream:
        stream.seek(head.start)
        stream.write(b"\xc0\x7f" * ((head.end - head.start) // 2))


def writing(name: str, data: bytes):
    def act(model: Path) -> None:
        (model / name).write_bytes(data)

    return act


def configured(**fields):
    return lambda model: change(model / "config.json", **fields)


def words_of(count: int, **more):
    vocabulary = {f"w{number}": number for number in range(count)}
    return lambda model: change(model / "tokenizer.json", model={"vocab": vocabulary, **more})


def both(*acts):
    def act(model: Path) -> None:
        for each in acts:
            each(model)

    return act


def in_dtype(dtype: str, size: int):
    def act(model: Path) -> None:
        write_safetensors(model / "model.safetensors", shapes_of(CONFIG), dtype, size)

    return act


def legacy_tokenizer(model: Path) -> None:
    (model / "tokenizer.json").unlink()
    (model / "vocab.json").write_text(json.dumps({f"w{n}": n for n in range(290)}))
    (model / "merges.txt").write_text("#version: 0.2\n")
    (model / "added_tokens.json").write_text('{"<|end|>": 300}')


def processors_template(model: Path) -> None:
    (model / "tokenizer_config.json").write_text("{}")
    (model / "chat_template.json").write_text('{"chat_template": "{{ messages }}"}')


def link_to_nowhere(model: Path) -> None:
    (model / "model.safetensors").unlink()
    (model / "model.safetensors").symlink_to("../../blobs/0123abcd")
