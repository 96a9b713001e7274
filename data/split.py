"""Pairs → train, dev and calibration by section, so that no fact is in two of them."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from data.dedupe import NearIndex
from data.options import option
from data.records import Pair

SPLITS = ("train", "dev", "calibration")
SAME_QUESTION, SAME_ANSWER = 0.9, 0.85
PARTS = {"question": SAME_QUESTION, "answer": SAME_ANSWER}


class SplitLeakError(RuntimeError):
    """A fact is in two splits: a bug, never to be ignored."""


class SplitSettings(BaseModel):
    """Shares are of pairs; sections are never cut, so the outcome is near them."""

    model_config = ConfigDict(frozen=True)

    seed: int = option(0, "划分用的随机种子", "of the split")
    dev: float = option(0.1, "占问答对的几成", "share of pairs", ge=0, le=0.5)
    calibration: float = option(0.05, "占问答对的几成", "share of pairs", ge=0, le=0.5)


def split_pairs(pairs: Sequence[Pair], settings: SplitSettings) -> dict[str, list[Pair]]:
    """Pairs by split, in their order. The same pairs and seed give the same split.

    Sections that hold near-duplicates of each other's questions or answers go together. Held out
    are first those of which at least half can be (not `train_only`): what cannot is lost there.
    Raises SplitLeakError if a near-duplicate is still in two splits.
    """
    clusters = _clusters(pairs)
    sizes: dict[str, int] = defaultdict(int)
    unsound: dict[str, int] = defaultdict(int)
    for pair in pairs:
        sizes[clusters[pair.section]] += 1
        unsound[clusters[pair.section]] += pair.train_only

    def place(cluster: str) -> tuple[bool, bytes]:
        chance = hashlib.sha256(f"{settings.seed}\0{cluster}".encode()).digest()
        return 2 * unsound[cluster] > sizes[cluster], chance

    order = sorted(sizes, key=place)
    wanted = {
        "dev": round(settings.dev * len(pairs)),
        "calibration": round(settings.calibration * len(pairs)),
    }
    home: dict[str, str] = {}
    for name, size in wanted.items():
        taken = 0
        for cluster in order:
            # A cluster that would overfill a small split stays in train.
            if cluster in home or taken >= size or taken + sizes[cluster] > max(size * 1.5, 3):
                continue
            home[cluster] = name
            taken += sizes[cluster]
    splits: dict[str, list[Pair]] = {name: [] for name in SPLITS}
    for pair in pairs:
        splits[home.get(clusters[pair.section], "train")].append(pair)
    assert_no_leak(splits)
    return splits


def soundly_held_out(splits: dict[str, list[Pair]]) -> tuple[dict[str, list[Pair]], int]:
    """The splits without held-out pairs for training alone, which nothing can be judged by, and how
    many those were. Nor do they go to train: their section is held out."""
    sound = {
        name: [pair for pair in pairs if name == "train" or not pair.train_only]
        for name, pairs in splits.items()
    }
    return sound, sum(map(len, splits.values())) - sum(map(len, sound.values()))


def _clusters(pairs: Sequence[Pair]) -> dict[str, str]:
    """Section → name of its cluster (its first section): union-find over near-duplicates."""
    parent: dict[str, str] = {}

    def root(section: str) -> str:
        parent.setdefault(section, section)
        while parent[section] != section:
            parent[section] = parent[parent[section]]
            section = parent[section]
        return section

    groups: dict[str, str] = {}
    for pair in pairs:
        group = pair.group or pair.id
        first = groups.setdefault(group, pair.section)
        _union(parent, root(first), root(pair.section))
    for part, ratio in PARTS.items():
        index = NearIndex(ratio)
        homes: list[Pair] = []
        for pair in pairs:
            for text in _texts(pair, part):
                for other in index.near(text):
                    _union(parent, root(homes[other].section), root(pair.section))
                index.add(len(homes), text)
                homes.append(pair)
    return {pair.section: root(pair.section) for pair in pairs}


def _union(parent: dict[str, str], first: str, second: str) -> None:
    # The smaller name becomes the root: the outcome does not depend on the order of pairs.
    low, high = sorted((first, second))
    parent[high] = low


def without_near(wordings: Sequence[Pair], held_out: Sequence[Pair]) -> list[Pair]:
    """The wordings of train that are no near-duplicate of a held-out question."""
    index, count = NearIndex(SAME_QUESTION), 0
    for pair in held_out:
        for text in _texts(pair, "question"):
            index.add(count, text)
            count += 1
    return [p for p in wordings if not any(map(index.near, _texts(p, "question")))]


def _texts(pair: Pair, part: str) -> list[str]:
    """The question (or answer), and those of the talk before it: they are seen in training too."""
    if part == "question":
        return list(dict.fromkeys([pair.asked, *(user for user, _ in pair.history)]))
    return [pair.answer, *(assistant for _, assistant in pair.history)]


def assert_no_leak(splits: dict[str, list[Pair]]) -> None:
    """Raise SplitLeakError if two splits share a section, a group or a near-duplicate."""
    seen: dict[str, str] = {}
    for name, pairs in splits.items():
        for pair in pairs:
            for key in (f"section {pair.section}", f"group {pair.group or pair.id}"):
                if seen.setdefault(key, name) != name:
                    raise SplitLeakError(f"{key!r} is in {seen[key]} and in {name}")
    for part, ratio in PARTS.items():
        index = NearIndex(ratio)
        homes: list[str] = []
        for name, pairs in splits.items():
            for text in (text for pair in pairs for text in _texts(pair, part)):
                for other in index.near(text):
                    if homes[other] != name:
                        raise SplitLeakError(
                            f"{part} in {homes[other]} and in {name}: {text[:80]!r}"
                        )
                index.add(len(homes), text)
                homes.append(name)
