"""A model directory to ModelScope (or Hugging Face), with a card made from its manifests."""

import hashlib
import json
import os
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from common.language import either
from common.manifest import Manifest, directory_records, read_manifest, write_manifest
from common.model_files import model_files_problems
from train.base import ModelError, weight_bytes

TOKENS = {"modelscope": "MODELSCOPE_API_TOKEN", "hf": "HF_TOKEN"}
IGNORED = ["checkpoints/*", "*.tmp", ".ms_upload_cache*", "runs/*"]


def upload(directory: Path, repo: str, hub: str = "modelscope", public: bool = False) -> str:
    """Create the repository if it is missing (private unless `public`) and upload everything.

    Files that are there already are not sent again, so a second call goes on where a broken one
    stopped. Raises ModelError with what to do; the token is read from the environment and appears
    in no message.
    """
    if hub not in TOKENS:
        known = either("、", " and ").join(TOKENS)
        raise ModelError(f"--hub {hub}：只有 {known}", f"--hub {hub}: there are {known}")
    if repo.count("/") != 1:
        raise ModelError(f"{repo}：应写成 用户名/模型名", f"{repo}: expected OWNER/NAME")
    if not (directory / "config.json").is_file() or not weight_bytes(directory):
        raise ModelError(
            f"{directory}：没有 config.json 和它旁边的 safetensors 权重",
            f"{directory}: no config.json with safetensors weights beside it",
        )
    if problems := model_files_problems(directory):
        told = "; ".join(problems)
        raise ModelError(
            f"{directory}：这样的模型评测机启动不了，没有上传：{told}",
            f"{directory}: nothing could serve this, so it was not uploaded: {told}",
        )
    token = os.environ.get(TOKENS[hub], "").strip()
    if not token:
        name = TOKENS[hub]
        raise ModelError(
            f"请把 {name} 设为你的访问令牌（不会写到任何地方）",
            f"set {name} to your access token (it is never written anywhere)",
        )
    manifest = read_manifest(directory) or Manifest(stage="upload", name=directory.name)
    (directory / "README.md").write_text(model_card(directory, manifest), encoding="utf-8")
    records = directory_records(directory)  # download_model.py checks against these
    manifest.outputs = [r for r in records if not any(fnmatch(r.path, p) for p in IGNORED)]
    write_manifest(directory, manifest)
    try:
        if hub == "hf":
            return _to_hugging_face(directory, repo, token, public)
        return _to_modelscope(directory, repo, token, public, _tag_of(manifest))
    except ModelError:
        raise
    except Exception as error:  # noqa: BLE001  the SDKs raise many kinds; all end here, told
        text = str(error).replace(token, "***") or type(error).__name__
        raise ModelError(
            f"上传到 {repo} 失败：{text}\n再运行同一条命令即可：已传到的不会再传",
            f"upload to {repo} failed: {text}\nRun the same command again: what has arrived is "
            "not sent twice",
        ) from None


def _tag_of(manifest: Manifest) -> str:
    """A tag by what is uploaded: the same files have the same one, and others another."""
    listed = sorted(f"{record.path} {record.sha256}" for record in manifest.outputs)
    return "v" + hashlib.sha256("\n".join(listed).encode()).hexdigest()[:10]


def _to_modelscope(directory: Path, repo: str, token: str, public: bool, tag: str) -> str:
    from modelscope_hub import HubApi
    from modelscope_hub.errors import AuthenticationError

    api = HubApi(token=token, endpoint=os.environ.get("MODELSCOPE_ENDPOINT") or None)
    try:
        existed = api.repo_exists(repo, "model")
        if not existed:
            api.create_repo(repo, "model", visibility="public" if public else "private")
        api.upload_folder(
            repo, "model", directory, commit_message="Model and manifest", ignore_patterns=IGNORED
        )
    except AuthenticationError as error:
        name = TOKENS["modelscope"]
        raise ModelError(
            f"{repo} 拒绝了 {name}：请在魔搭网站新建访问令牌，并确认用户名是你自己",
            f"{name} was refused for {repo}: make a new access token on "
            "ModelScope's web site, and check that the owner is you",
        ) from error
    head = either(f"魔搭上的 {repo} 已有 {directory}", f"{repo} on ModelScope holds {directory}")
    told = _next("modelscope", repo, tag)
    try:
        if tag not in {each.get("Revision") for each in api.list_repo_revisions(repo, "model")}:
            api.create_repo_tag(repo, "model", tag)
    except Exception as error:  # noqa: BLE001  the model has arrived; only its tag has not
        why = str(error).replace(token, "***")
        told = _next("modelscope", repo, "master") + either(
            f"\n注意：没能加上标签 {tag}（{why}），master 会随下一次上传变",
            f"\nATTENTION: no tag {tag} could be made ({why}); master moves with the next upload",
        )
    return head + told + _visibility(existed, public)


def _next(hub: str, repo: str, revision: str) -> str:
    lines = f"ARG MODEL_HUB={hub}", f"ARG MODEL_ID={repo}", f"ARG MODEL_REVISION={revision}"
    first, second, third = lines
    return either(
        f"。接下来：把 Dockerfile 里的三行写成 {first}、{second}、{third} 并提交，"
        "再运行 bash run.sh preflight",
        f". Next: make the Dockerfile's three lines {first}, {second} and {third}, commit, "
        "and run bash run.sh preflight",
    )


def _to_hugging_face(directory: Path, repo: str, token: str, public: bool) -> str:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    api = HfApi(token=token, endpoint=os.environ.get("HF_ENDPOINT") or None)
    try:
        existed = api.repo_exists(repo)
        if not existed:
            api.create_repo(repo, private=not public)
        sent = api.upload_folder(repo_id=repo, folder_path=directory, ignore_patterns=IGNORED)
    except HfHubHTTPError as error:
        if error.response.status_code == 401:
            name = TOKENS["hf"]
            raise ModelError(
                f"{repo} 拒绝了 {name}：请在 Hugging Face 网站新建有写权限的访问令牌，"
                "并确认用户名是你自己",
                f"{name} was refused for {repo}: make a new access token with the right "
                "to write on Hugging Face's web site, and check that the owner is you",
            ) from error
        raise
    head = either(
        f"Hugging Face 上的 {repo} 已有 {directory}", f"{repo} on Hugging Face holds {directory}"
    )
    return head + _next("hf", repo, sent.oid) + _visibility(existed, public)


def _visibility(existed: bool, public: bool) -> str:
    """What to know before submitting, as further lines; none for a model published just now."""
    to_publish = either(
        "评测机没有令牌，无法下载私有模型。提交前请在网站的仓库设置里改为公开"
        "（新仓库可用 --public）；`bash run.sh preflight` 会检查。",
        "the judge has no access token and cannot build a private model. Before submitting, make "
        "it public in the repository's settings on the hub's web site (a new repository: upload "
        "with --public); `bash run.sh preflight` checks it.",
    )
    if existed:
        head = either(
            "注意：仓库原先就有，可见范围没有变：",
            "ATTENTION: the repository existed and is as visible as before: ",
        )
    else:
        head = either("注意：新仓库是私有的：", "ATTENTION: the new repository is PRIVATE: ")
    return "" if public and not existed else f"\n{head}{to_publish}"


def model_card(directory: Path, manifest: Manifest) -> str:
    """README.md of a model: where it came from and what was measured, nothing else."""
    config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    lines = ["---", "tags:", "- textbook-answers", "---", "", f"# {manifest.name}", ""]
    if manifest.demo:
        lines += ["A **demo** of the flow: its scores say nothing about a real model.", ""]
    quantization = config.get("quantization_config", {}).get("quant_method", "none")
    lines += [
        f"- architecture: {', '.join(config.get('architectures', ['unknown']))}",
        f"- quantization: {quantization}",
        f"- size of the weights: {weight_bytes(directory) / 1e6:,.1f} MB",
        "",
        "## How it was made",
        "",
    ]
    lines += _stages(manifest)
    scores = _scores(manifest)
    lines += ["", "## Measured", ""]
    lines += scores or ["Nothing was measured on this model."]
    lines += [
        "",
        "Scores are ROUGE-L F1 after the contest's judge, which counts only Latin words and "
        "numbers; the ceiling is what answers identical to the references would score.",
        "",
    ]
    return "\n".join(lines)


def _stages(manifest: Manifest, depth: int = 0) -> list[str]:
    """One line per stage, newest first, with its inputs' checksums and main settings."""
    told: list[Any] = [f"{f.path} (sha256 {f.sha256[:12]})" for f in manifest.inputs]
    keys = ("model_name_or_path", "base", "finetuning_type", "lora_rank", "num_train_epochs")
    keys += ("learning_rate", "format", "scheme", "seed")
    told += [f"{k}={manifest.settings[k]}" for k in keys if k in manifest.settings]
    line = f"{'  ' * depth}- {manifest.stage} `{manifest.name}`"
    lines = [line + (f": {'; '.join(told)}" if told else "")]
    for parent in manifest.parents:
        lines += _stages(parent, depth + 1)
    return lines


def _scores(manifest: Manifest) -> list[str]:
    lines = [f"- {name} of `{manifest.name}`: {v:.4f}" for name, v in manifest.scores.items()]
    for parent in manifest.parents:
        lines += _scores(parent)
    return lines
