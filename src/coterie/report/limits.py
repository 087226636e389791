"""What a run does not show, what went wrong in it, and how to repeat it."""

from __future__ import annotations

from typing import Any

from coterie.report.crossings import wasted
from coterie.report.read import Arm
from coterie.report.words import size

MOST_EVENTS = 20


def not_run(arm: Arm, control: Arm | None, study: bool) -> list[tuple[str, str]]:
    """What nobody should conclude from this page, each with its reason."""
    backbone = str(arm.table("backbone").get("name", "?"))
    network = [
        (
            "Real devices, a real network",
            "All ran on one machine. Bytes are counted, but no link was slow or lost.",
        )
    ]
    read = (
        " How many words can be read from encoded wishes is measured by “coterie audit prompts”." if arm.wishes else ""
    )
    tried = f"Nobody tried to rebuild {arm.noun}s from adapters.{read}"
    items = [
        *([] if arm.alone else network),
        ("More than one seed", f"This is seed {arm.recipe.get('seed', '?')} alone. Small differences may be chance."),
        ("Other backbones", f"Only “{backbone}” was trained here. Larger models may behave differently."),
        ("Attacks", tried),
        ("People's own judgement", f"Nobody was asked whether they like the {arm.noun}s. Loss is not taste."),
    ]
    if control is None and not arm.alone:
        begun = "It has not begun yet." if arm.recipe.get("control") and not arm.finished else ""
        items.append(("A control", begun or "There is no second run to compare with."))
    if not study and not arm.alone:
        items.append(("A full study", "All arms over several seeds are a study of their own, not part of this run."))
    if not arm.copies:
        comes = "It comes at the end, if the recipe asks for it."
        turned_off = "It was turned off, or there was nothing to compare with."
        items.append(("A search for copies", turned_off if arm.finished else comes))
    return items


def went_wrong(arm: Arm, control: Arm | None) -> list[str]:
    """Failures, interruptions and waste of both runs; empty if there were none."""
    items: list[str] = []
    for before, run in (("", arm), ("Control: ", control)):
        if run is None:
            continue
        for event in [e for e in run.events if e.get("event") == "people"][:1]:
            unusable = [f"{name} ({reason})" for name, reason in event["skipped"]]
            if unusable:
                more = f" and {len(unusable) - MOST_EVENTS} more" if len(unusable) > MOST_EVENTS else ""
                items.append(f"{before}{run.noun}s that could not be used: {', '.join(unusable[:MOST_EVENTS])}{more}")
            if event["unscored"]:
                items.append(
                    f"{before}not scored, as no {run.noun} is held out of them: {', '.join(event['unscored'])}"
                )
        failed = [e for e in run.events if e.get("event") == "client_failed"]
        told = {str(e.get("client")) for e in failed}
        for event in failed[:MOST_EVENTS]:
            items.append(f"{before}{event.get('client')} failed in round {event.get('round')}: {event.get('reason')}")
        if len(failed) > MOST_EVENTS:
            items.append(f"{before}{len(failed) - MOST_EVENTS} more failures are in the journal")
        for client, reason in sorted((run.results.get("failures") or {}).items()):
            if client not in told:
                items.append(f"{before}{client} failed at the end: {reason}")
        for event in _resumed(run):
            items.append(f"{before}stopped, then resumed after round {event.get('round')}")
            items += [f"{before}a damaged checkpoint was skipped: {reason}" for reason in event.get("broken", ())]
        if lost := wasted(run):
            items.append(f"{before}{size(lost)} crossed in attempts whose results were never used")
        if not run.finished:
            items.append(
                f"{before}the run is not finished: {run.rounds_done} of {run.recipe.get('rounds', '?')} rounds"
            )
    return items


def again(arm: Arm) -> dict[str, Any]:
    """Commands, versions and digests."""
    engine = arm.table("engine")
    return {
        "commands": ["coterie run server/recipe.toml --out AGAIN"],
        "facts": {
            "recipe digest": arm.results.get("recipe_digest") or "–",
            "backbone": f"{arm.table('backbone').get('name', '?')} {arm.digest}".strip(),
            "seed": arm.recipe.get("seed", "–"),
            "number type": engine.get("dtype", "–"),
            "frozen weights": arm.table("backbone").get("quantise", "none").replace("none", "as they are"),
            "the optimiser's moments": engine.get("moments", "fp32"),
            "clients in one pass": engine.get("width", "–"),
            "worker processes": engine.get("workers", "–"),
            "python": arm.environment.get("python", "–"),
            "machine": f"{arm.environment.get('system', '')} {arm.environment.get('machine', '')}".strip() or "–",
            **{str(k): v for k, v in sorted((arm.environment.get("packages") or {}).items())},
        },
    }


def _resumed(run: Arm) -> list[Any]:
    return [e for e in run.events if e.get("event") == "resumed"]
