"""A recipe's YAML file, with `key=value` over it, as a checked recipe.

`load_recipe(path, ["num_train_epochs=1", …])` reports all errors at once, each with its field.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from common.language import BilingualError, either
from common.text_encodings import decode
from train.recipe import Recipe

AnyRecipe = TypeVar("AnyRecipe", bound=BaseModel)
MOST_UNKNOWN = 5  # keys named one by one


class RecipeError(BilingualError, ValueError):
    """A recipe that cannot be used; the message lists every wrong field."""


def load_recipe(
    path: Path, overrides: Sequence[str] = (), model: type[AnyRecipe] = Recipe
) -> AnyRecipe:
    """The checked recipe of a YAML file with `key=value` overrides (values are YAML too).

    model: what it is a recipe of.

    Raises RecipeError with one line per problem.
    """
    fields, problems = _read(path), []
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals or not key:
            problems.append(
                either(
                    f"  {override}：应写成 键=值，等号两边没有空格",
                    f"  {override}: expected key=value, without spaces around the sign",
                )
            )
            continue
        try:
            fields[key.strip()] = yaml.safe_load(value)
        except yaml.YAMLError:
            problems.append(
                either(
                    f"  {override}：等号右边不是合法的 YAML",
                    f"  {override}: the value is no valid YAML",
                )
            )
    # A shell fills ~ in neither YAML nor key=~/value.
    fields = {
        key: str(Path(value).expanduser()) if str(value).startswith("~/") else value
        for key, value in fields.items()
    }
    try:
        # In YAML 1.1, 2e-4 is text; pydantic reads it as the number that a field asks for.
        recipe = model.model_validate(fields)
    except ValidationError as error:
        raise RecipeError(_explained(path, problems, error, model)) from error
    if problems:
        raise RecipeError(_unusable(path, problems))
    return recipe


class _OnceLoader(yaml.SafeLoader):
    """YAML's safe loader, which refuses a key that stands twice: the last would win silently."""


def _once(loader: _OnceLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    lines: dict[Any, int] = {}
    for key, _ in node.value:
        line = key.start_mark.line + 1
        if key.value in lines:
            raise yaml.YAMLError(
                either(
                    f"{key.value} 写了两次：第 {lines[key.value]} 行和第 {line} 行",
                    f"{key.value} stands twice: in lines {lines[key.value]} and {line}",
                )
            )
        lines[key.value] = line
    return loader.construct_mapping(node, deep=True)


_OnceLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _once)


def _read(path: Path) -> dict[str, Any]:
    """The fields of a YAML file in any usual encoding. Raises RecipeError."""
    try:
        fields = yaml.load(decode(path.read_bytes()), _OnceLoader)  # noqa: S506  a safe loader
    except OSError as error:
        why = error.strerror or error
        if isinstance(error, FileNotFoundError):
            why = either("没有这个文件", "no such file")
        raise RecipeError(f"{path}：{why}", f"{path}: {why}") from error
    except yaml.YAMLError as error:
        raise RecipeError(
            f"{path}：不是合法的 YAML：{error}", f"{path}: no valid YAML: {error}"
        ) from error
    except ValueError as error:
        raise RecipeError(
            f"{path}：不是配方（train/recipes 里的 .yaml）：{error}",
            f"{path}: no recipe (a .yaml, as in train/recipes): {error}",
        ) from error
    if not isinstance(fields, dict):
        raise RecipeError(f"{path}：应是一行行的 `键: 值`", f"{path}: expected `key: value` lines")
    return fields


def _unusable(path: Path, problems: Sequence[str]) -> str:
    head = either(f"{path}：这份配方不能用：", f"{path}: cannot be used:")
    return "\n".join([head, *problems])


def _explained(
    path: Path, problems: list[str], error: ValidationError, model: type[BaseModel]
) -> str:
    lines = list(problems)
    if {item["loc"][-1] for item in error.errors() if item["loc"]} & {"stage", "do_train"}:
        lines.append(
            either(
                "  这像是 LLaMA-Factory 的配置：从 train/recipes/ 里挑一份，把同名的值搬过去",
                "  this looks like LLaMA-Factory's: take one of train/recipes/, and bring over the "
                "values of the keys that it has",
            )
        )
    unknown = [item for item in error.errors() if item["type"] == "extra_forbidden"]
    others = unknown[MOST_UNKNOWN:]  # of another command's recipe nearly all are
    if others:
        lines.append(
            either(
                f"  {len(unknown)} 个键这里都没有：它是另一个命令（train run、retriever、"
                "reranker、sweep）的配方吗？",
                f"  {len(unknown)} keys are unknown here: is it the recipe of another command "
                "(train run, retriever, reranker, sweep)?",
            )
        )
    for item in (each for each in error.errors() if each not in others):
        field = ".".join(map(str, item["loc"]))
        if item["type"] == "extra_forbidden":
            like = _nearest(field, model)
            lines.append(either(f"  {field}：没有这个键{like}", f"  {field}: no such key{like}"))
        elif item["type"] == "missing":
            lines.append(either(f"  {field}：缺少", f"  {field}: missing"))
        elif field:
            told, got = item["msg"], item["input"]
            lines.append(
                either(
                    f"  {field}：{_in_chinese(item)}（现在是 {got!r}）",
                    f"  {field}: {told} (got {got!r})",
                )
            )
        else:
            lines.append(f"  {item['msg'].removeprefix('Value error, ')}")
    return _unusable(path, lines)


def _in_chinese(item: Any) -> str:
    """pydantic's message of a wrong value; its own words for kinds that a recipe rarely meets."""
    limits = item.get("ctx", {})
    known = {
        "greater_than": "应大于 {gt}",
        "greater_than_equal": "应不小于 {ge}",
        "less_than": "应小于 {lt}",
        "less_than_equal": "应不大于 {le}",
        "literal_error": "应是 {expected} 之一",
        "int_parsing": "应是整数",
        "int_type": "应是整数",
        "int_from_float": "应是整数",
        "float_parsing": "应是数",
        "float_type": "应是数",
        "bool_parsing": "应是 true 或 false",
        "bool_type": "应是 true 或 false",
        "string_type": "应是文字",
        "string_too_short": "不能为空",
        "path_type": "应是路径",
        "list_type": "应是列表",
    }
    text = known.get(item["type"])
    return text.format(**limits) if text else str(item["msg"])


def _nearest(field: str, model: type[BaseModel]) -> str:
    from difflib import get_close_matches

    found = get_close_matches(field, model.model_fields, 1)
    if not found:
        return ""
    return either(f"；是不是 {found[0]}？", f"; did you mean {found[0]}?")
