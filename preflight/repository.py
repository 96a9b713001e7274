"""The repository as the judge clones it: its size, what a clone leaves behind, and secrets.

Uncommitted files are not part of a clone.
"""

import re
from pathlib import Path

from common.facts import assumed, download_rate, download_seconds
from common.language import either
from common.units import amount
from preflight.checkout import Checkout, git
from preflight.lines import Line, at_most

# Tokens by their published patterns. Scanners such as detect-secrets know most of them, but not
# ModelScope's, which every user of this kit has.
SECRETS = {
    "ModelScope token": r"\bms-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b",
    "Hugging Face token": r"\bhf_[A-Za-z0-9]{30,}\b",
    "OpenAI-style key": r"\bsk-[A-Za-z0-9_-]{24,}\b",
    "GitHub token": r"\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{40,})\b",
    "GitLab or Gitee token": r"\bglpat-[A-Za-z0-9_-]{20}\b",
    "AWS key": r"\bAKIA[0-9A-Z]{16}\b",
    "private key": r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----",
    "token or password in an assignment": (
        r"(?i)(?:token|secret|password|api_?key)[\"']?\s*[:=]\s*[\"']"
        r"(?=[^\"'\s]*[0-9])(?=[^\"'\s]*[A-Za-z])[A-Za-z0-9_+/=-]{20,}[\"']"
    ),
}
_SECRETS = {name: re.compile(pattern.encode()) for name, pattern in SECRETS.items()}
COMMITS_SCANNED = 20


def repository_lines(repository: Path, commit: str, checkout: Checkout) -> list[Line]:
    """Its size, what a clone leaves behind, and secrets."""
    return [
        *_uncommitted(repository),
        *_sizes(checkout),
        *_left_behind(checkout),
        _secrets(repository, commit, checkout),
    ]


def _uncommitted(repository: Path) -> list[Line]:
    if git(repository, "rev-parse", "--is-bare-repository").strip() == b"true":
        return []
    told = git(repository, "status", "--porcelain", "-z", "--no-renames").decode(errors="replace")
    changed = [entry[3:] for entry in told.split("\0") if entry]
    if not changed:
        return []
    names = ", ".join(changed[:3])
    names += " …" if len(changed) > 3 else ""
    why = either(f"{names}：评测机克隆不到", f"{names}: not part of what the judge clones")
    what, count = either("未提交", "uncommitted"), len(changed)
    figure = either(f"{count} 个路径", f"{count} paths")
    return [Line("repository", what, "note", figure, why=why)]


def _left_behind(checkout: Checkout) -> list[Line]:
    """Submodules, and links out of the repository."""
    lines = []
    if names := checkout.submodules:
        told = ", ".join(names[:3]) + (" …" if len(names) > 3 else "")
        why = either(
            f"{told}：普通的克隆只得到空文件夹"
            "（里面另有 .git？删掉它，再 git rm --cached、git add）",
            f"{told}: a plain clone has an empty folder there (another .git in it? remove that, "
            "then git rm --cached and git add)",
        )
        figure = either(f"{len(names)} 个", f"{len(names)} found")
        what = either("子仓库", "submodules")
        lines.append(Line("repository", what, "warn", figure, "0", "", why))
    if names := checkout.outside:
        told = ", ".join(names[:3]) + (" …" if len(names) > 3 else "")
        why = either(
            f"{told}：评测机上没有它指向的东西；提交文件本身",
            f"{told}: leads to nothing on the judge's machine; commit the file itself",
        )
        figure = either(f"{len(names)} 个", f"{len(names)} found")
        what = either("指到仓库外的链接", "links out of the repository")
        lines.append(Line("repository", what, "warn", figure, "0", "", why))
    return lines


def _sizes(checkout: Checkout) -> list[Line]:
    size, rate = amount(checkout.clone_bytes, "B"), download_rate()
    why = either(
        f"历史共 {size}，按 {rate}；限额是我们自己定的",
        f"{size} of history at {rate}; our own limit",
    )
    seconds = download_seconds(checkout.clone_bytes)
    largest = sorted(checkout.files.items(), key=lambda item: -item[1])[:3]
    told = ", ".join(f"{path} {amount(size, 'B')}" for path, size in largest)
    size = largest[0][1] if largest else 0
    return [
        at_most("repository", either("克隆", "clone"), seconds, assumed("clone_s"), "s", why),
        at_most(
            "repository",
            either("最大的文件", "largest file"),
            size,
            assumed("file_bytes"),
            "B",
            told,
        ),
    ]


def _secrets(repository: Path, commit: str, checkout: Checkout) -> Line:
    found = []
    for path in checkout.files:
        data = (checkout.directory / path).read_bytes()
        found += [
            either(f"{path}:{line} 里有 {name}", f"{name} in {path}:{line}")
            for name, line in _hits(data)
        ]
    # A secret that a later commit removed is still in the clone's history.
    scanned = f"-{COMMITS_SCANNED}"
    history = git(repository, "log", "-p", "-U0", scanned, "--format=commit %h%n%B", commit)
    for patch in re.split(rb"(?m)^(?=commit [0-9a-f]{7,}$)", history):
        head = patch[7:17].split(b"\n")[0].decode(errors="replace")
        found += [
            either(f"历史里的提交 {head} 有 {name}", f"{name} in the history, commit {head}")
            for name, _ in _hits(patch)
        ]
    why = "; ".join(dict.fromkeys(found[:6])) or either(
        f"看了文件和最近 {COMMITS_SCANNED} 次提交，{len(SECRETS)} 种样式",
        f"tree and the last {COMMITS_SCANNED} commits, {len(SECRETS)} patterns",
    )
    if found:
        why += either(
            "。现在就吊销它，再从历史里去掉", ". Revoke it now, then take it out of the history"
        )
    state = "fail" if found else "ok"
    figure = either(f"{len(found)} 处", f"{len(found)} found")
    return Line("repository", either("密钥", "secrets"), state, figure, "0", "", why)


def _hits(data: bytes) -> list[tuple[str, int]]:
    hits = []
    for name, pattern in _SECRETS.items():
        for match in pattern.finditer(data):
            hits.append((name, data.count(b"\n", 0, match.start()) + 1))
    return hits
