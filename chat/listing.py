"""What can be asked and how it stands: lists for the page and the API."""

from typing import Any

from chat.registry import Registry


def choices(registry: Registry) -> list[str]:
    """What can be asked: each model, followed by its adapters. The order does not depend on what is
    loaded: a list that changes it under the reader's hand has the wrong one chosen."""
    there, root = registry.found(), registry.settings.root
    names = []
    for model in there.models.values():
        names += [model.id, *(a.id for a in there.adapters.values() if a.fits(model, root))]
    return list(dict.fromkeys(names))


def quick_first(registry: Registry) -> list[str]:
    """The same, what is loaded first, then what is loading, then adapters of what is loaded."""
    loaded, there = registry.names(), registry.found()
    models = [engine.model for engine in registry.ready()]
    coming = {engine.model.id for engine in registry.engines.values() if engine.state == "loading"}

    def wait(name: str) -> int:
        adapter = there.adapters.get(name)
        fits = adapter and any(adapter.fits(m, registry.settings.root) for m in models)
        return 0 if name in loaded else 1 if name in coming else 2 if fits else 3

    return sorted(choices(registry), key=wait)


def status(registry: Registry) -> list[dict[str, Any]]:
    """Every model and adapter that is known, and what state it is in."""
    there = registry.found()
    latest = registry.figures.latest()
    rows = []
    for name in dict.fromkeys([*registry.engines, *there.models]):
        engine, model = registry.engines.get(name), there.models.get(name)
        model = engine.model if engine else model
        if model is None:  # unloaded meanwhile, and its directory removed
            continue
        rows.append(
            {
                "id": name,
                "kind": "model",
                "state": engine.state if engine else "not loaded",
                "problem": engine.problem if engine else "",
                "weight_bytes": model.weight_bytes,
                "load_seconds": engine.load_seconds if engine else None,
                "in_flight": engine.in_flight if engine else 0,
                # vLLM's own figure, a few seconds old.
                "running": latest[name].running if engine and name in latest else 0,
            }
        )
    for name in there.adapters:
        on = next((e.model.id for e in registry.ready() if name in e.adapters), None)
        rows.append({"id": name, "kind": "adapter", "state": "ready" if on else "not loaded"})
        rows[-1]["base"] = there.adapters[name].base
    return rows
