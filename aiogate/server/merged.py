"""What several workers say of themselves as what one gateway would say; pure, for the admin listener."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

__all__ = ["merged_budgets", "merged_readiness", "merged_status"]

View = Mapping[str, Any]

_WORSE: Final = ("well", "aside", "down")


def merged_readiness(views: Sequence[View]) -> dict[str, Any]:
    """Return whether all of them are ready."""
    ok = all(view["status"] == "ok" for view in views)
    whole = merged_status(views) if "checks" in views[0] else {}
    return {"status": "ok" if ok else "unavailable", **{key: one for key, one in whole.items() if key != "status"}}


def merged_status(views: Sequence[View]) -> dict[str, Any]:
    """Return one status: sums of what each has its part of, the worst of what should be the same everywhere."""
    views = sorted(views, key=lambda view: int(view["worker"]["name"]))
    first = views[0]
    whole = {
        **first,
        "checks": {name: all(view["checks"][name] for view in views) for name in first["checks"]},
        "generation": min(view["generation"] for view in views),
        "degraded": next((view["degraded"] for view in views if view["degraded"] is not None), None),
        "gateways": max(view["gateways"] for view in views),
        "open_exchanges": sum(view["open_exchanges"] for view in views),
        "outgoing_generations": dict(sum((Counter(view["outgoing_generations"]) for view in views), Counter())),
        "last_reload": max((view["last_reload"] for view in views), key=lambda one: str(one["time"])),
        "breakers": _breakers(view["breakers"] for view in views),
        "endpoints": _endpoints([view["endpoints"] for view in views]),
        "shipping": _shipping([view["shipping"] for view in views]),
        "workers": [_worker(view) for view in views],
    }
    del whole["worker"]
    if "budgets" in first:
        whole["budgets"] = merged_budgets([view["budgets"] for view in views])
    if "agents" in first and "checks" in first:
        known = {one["agent"]: one for one in whole["breakers"]}
        whole["agents"] = [
            {**agent, "breaker": known.get(agent["id"])} if isinstance(agent, dict) else agent
            for agent in first["agents"]
        ]
    return whole


def merged_budgets(views: Sequence[Sequence[View]]) -> list[View]:
    """Return the counters that any of them knows, the tightest first; of one that several know, the latest."""
    found: dict[object, View] = {}
    for view in views:
        for one in view:
            key = (one["budget"], one["unit"], *sorted(one["per"].items()), one["period_starts"])
            if key not in found or one["spent"] + one["held"] > found[key]["spent"] + found[key]["held"]:
                found[key] = one
    return sorted(found.values(), key=lambda one: -float(one["share"]))


def _shipping(views: Sequence[View | None]) -> View | None:
    """Return what the one says that ships for all."""
    return next((view for view in views if view is not None and view["ships"]), views[0])


def _worker(view: View) -> dict[str, Any]:
    return {
        **view["worker"],
        "generation": view["generation"],
        "open_exchanges": view["open_exchanges"],
        "ready": all(view["checks"].values()),
    }


def _breakers(views: Iterable[Sequence[View]]) -> list[View]:
    """Return how the agents are by the worker that thinks least of them."""
    worst: dict[str, View] = {}
    for view in views:
        for one in view:
            known = worst.get(one["agent"])
            if known is None or (one["phase"] != "closed", one["failures"]) > (
                known["phase"] != "closed",
                known["failures"],
            ):
                worst[one["agent"]] = one
    return list(worst.values())


def _endpoints(views: Sequence[Mapping[str, Sequence[View]]]) -> dict[str, list[dict[str, Any]]]:
    whole: dict[str, dict[str, dict[str, Any]]] = {}
    for view in views:
        for agent, places in view.items():
            of_agent = whole.setdefault(agent, {})
            for place in places:
                known = of_agent.get(place["endpoint"])
                if known is None:
                    of_agent[place["endpoint"]] = dict(place)
                    continue
                pending = known["pending"] + place["pending"]
                worse = max(known, place, key=lambda one: _WORSE.index(one["state"]) if one["state"] in _WORSE else 1)
                of_agent[place["endpoint"]] = {**worse, "pending": pending}
    return {agent: list(places.values()) for agent, places in whole.items()}
