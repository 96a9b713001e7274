"""Why a model or adapter does not answer, in words for whoever asked for it."""

from collections.abc import Iterable

from common.language import BilingualError, either


class LoadError(BilingualError, RuntimeError):
    """A model or adapter that could not be loaded; the message says why and what to do."""


class NotLoadedError(LookupError):
    """A request for a model that is not loaded, or that nobody knows."""


def unknown(kind: str, name: str, known: Iterable[str]) -> NotLoadedError:
    """There is no such thing; `kind`: "model" or "adapter"."""
    zh = f"没有这个{'模型' if kind == 'model' else ' adapter'}：{name}；有："
    return NotLoadedError(either(zh, f"no {kind} {name!r}; there are: ") + _listed(known))


def not_loaded(name: str, loaded: Iterable[str]) -> NotLoadedError:
    """It could be loaded, and is not."""
    told = either(
        f"{name} 没有加载；在“状态”页或用 POST /chat/models/load 加载它；已加载：",
        f"{name!r} is not loaded; load it on the page or by POST /chat/models/load; loaded: ",
    )
    return NotLoadedError(told + _listed(loaded))


def too_little(name: str, needed: float, free: float, where: str) -> LoadError:
    """Not enough memory; bytes."""
    wanted, there = f"{needed / 2**30:.1f} GiB", f"{free / 2**30:.1f} GiB"
    return LoadError(
        f"{name} 约需 {wanted}，空闲只有 {there}（{where}）：先卸载别的模型",
        f"{name} needs about {wanted} and {there} are free ({where}): unload another model first",
    )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or either("没有", "none")
