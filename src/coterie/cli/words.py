"""Events of a run in words, for a terminal or a log."""

from __future__ import annotations

from typing import Any

MOST_NAMED = 3  # of what is missing
WHEN = {
    "training": "when training",
    "loading": "when loading the model",
    "encoding": "when encoding pictures",
    "scoring": "when scoring",
    "drawing": "when drawing",
}
MISSING = {"away": "away", "straggler": "too late", "surplus": "not needed"}
"""What is said of answers that are not there because a recipe asks for it, by kind."""


def sentence(event: str, fields: dict[str, Any]) -> str:
    """One event in words; empty for those that only move a bar."""
    control = "control: " if fields.get("arm") == "control" else ""
    if event == "started":
        rounds = fields["rounds"]
        return f"{control}{fields['form']}, {rounds} round{'' if rounds == 1 else 's'}"
    if event == "people":
        return people_sentence(fields)
    if event == "planned" and fields["checkpointing"] is not None:
        ways = ", blocks computed twice" if fields["checkpointing"] else ""
        ways += "" if fields["moments"] == "fp32" else ", moments in 8 bits"
        ways += "" if fields["quantise"] == "none" else f", frozen weights in {fields['quantise']}"
        clients = f"{fields['width']} client{'' if fields['width'] == 1 else 's'} in one pass{ways}"
        when = WHEN[fields["phase"]]
        return f"{clients}: predicted peak {size(fields['peak'])}, {when}; {fields['memory']} allowed"
    if event == "narrower":
        return f"memory ran out: going on with {fields['width']} in one pass, and with blocks computed twice if need be"
    if event == "resumed":
        newer = "".join(f"; skipped, as it cannot be read: {reason}" for reason in fields["broken"])
        return f"{control}going on after round {fields['round']}{newer}"
    if event == "client_failed" and fields.get("kind") in MISSING:
        return ""  # what a recipe asks for, and said together with the round
    if event == "client_failed":
        return f"{control}{fields['client']} failed in round {fields['round']}: {fields['reason']}"
    if event == "round_void":
        return f"{control}nothing changes: {fields['reason']}"
    if event == "round_done":
        from coterie.report.lives import happened, others  # a run has loaded all that it needs, other commands have not

        loss = "" if fields["loss"] is None else f"  held-out loss {fields['loss']:.4f}"
        loss += f" ({others(fields['scored'])})" if "scored" in fields else ""
        what = round_name(fields["round"])
        groups = len(set(fields["clusters"].values()))
        found = f"  {groups} group{'' if groups == 1 else 's'}" if fields["round"] == 0 and groups else ""
        alone = int(fields["numbers"].get("group/loners", 0)) if found else 0
        found += f", {alone} of one person" if alone else ""
        moved = f"  up {size(fields['up_bytes'])}  down {size(fields['down_bytes'])}"
        moved += f"  across {size(fields['across_bytes'])}" if "across_bytes" in fields else ""
        absent = "".join(f"  {n} {MISSING[kind]}" for kind, n in fields.get("failed", {}).items() if kind in MISSING)
        lived = f"  {said}" if (said := happened(fields)) else ""
        return f"{control}{what:<10}{loss}{moved}  {fields['seconds']:.1f} s{found}{absent}{lived}"
    if event == "finishing":
        return f"{control}finishing: what each keeps, its scores, the last pictures"
    if event == "sink_failed":
        return f"{control}warning: {fields['sink']}: {fields['reason']}; the run goes on as it is"
    if event == "finished":
        used = f", {size(fields['peak'])} of memory at most" if fields.get("peak") else ""
        return f"{control}done in {clock(fields['seconds'])}{used}"
    if event == "report":
        return f"report: {fields['path']}"
    if event == "next":
        return f"to use an adapter elsewhere: {fields['command']}"
    return ""


def people_sentence(fields: dict[str, Any]) -> str:
    """How many pictures there are, and which of them or of their owners will be missing somewhere."""
    count, who = fields["clients"], fields["who"]
    who = {"folders": "folder", "people": "person"}.get(who, who) if count == 1 else who
    what = fields.get("what", "pictures")
    said = f"{count} {who}, {fields['train']} {what} to learn from, {fields['held_out']} held out"
    if fields["skipped"]:
        some = "; ".join(f"{name}: {reason}" for name, reason in fields["skipped"][:MOST_NAMED])
        more = len(fields["skipped"]) - MOST_NAMED
        said += f"; {len(fields['skipped'])} skipped ({some}{f'; and {more} more' if more > 0 else ''})"
    if fields["unscored"]:
        some = ", ".join(fields["unscored"][:MOST_NAMED])
        more = len(fields["unscored"]) - MOST_NAMED
        said += f"; not scored, as no {what[:-1]} is held out of them: {some}{f' and {more} more' if more > 0 else ''}"
    return "".join([said, *(f"\n      hint: {hint}" for hint in fields["hints"])])


def round_name(number: int) -> str:
    """Round 0 is enrolment."""
    return f"round {number}" if number else "enrolment"


def size(num_bytes: float) -> str:
    """Decimal bytes in words: ``1.2 MB``."""
    for unit in ("B", "kB", "MB"):
        if num_bytes < 1000:
            return f"{num_bytes:.0f} {unit}" if unit == "B" else f"{num_bytes:.1f} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.2f} GB"


def clock(seconds: float) -> str:
    """Minutes and seconds as on a clock, with hours where there are any."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
