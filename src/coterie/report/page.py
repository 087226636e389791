"""One page from one run folder: all it shows as plain values, then a template under a strict content policy."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from coterie.core.errors import UserError
from coterie.federation.stable import loners
from coterie.report import crossings, gallery, limits, written
from coterie.report.air import on_air
from coterie.report.committed import committed_study, read_study
from coterie.report.crowd import Crowd, crowd, only
from coterie.report.figures import HEIGHT, SHAPES, WIDTH, wish_map
from coterie.report.forgetting import forgetting
from coterie.report.lives import belonging, others
from coterie.report.measures import TESTS, Measures, agreement, at_least, curves, spread
from coterie.report.read import Arm, read_run
from coterie.report.sprites import Atlas
from coterie.report.words import FILTERS, GROUPINGS, count, duration, form_name, listed, percent, plural, size


def make_report(run: Path, study: Path | None = None) -> Path:
    """Writes ``server/report.html`` at once and returns its path; the page needs nothing beside itself.

    Args:
        run: a run folder, finished or not; nothing else is read.
        study: results of a study as JSON, shown beside the run and marked as not from it; without one, the study that
            the package has of the run's people, if it has one.

    Raises:
        UserError: if there is no run, or the run or the study cannot be read.
    """
    arm, control = read_run(run)
    study = study or committed_study(arm)
    html = render(context(arm, control, read_study(study) if study else None))
    path = run / "server" / "report.html"
    part = path.with_name(path.name + ".part")
    try:
        part.write_text(html, encoding="utf-8")
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise UserError(f"{path}: cannot be written: {error.strerror or error}") from error
    return path


def context(arm: Arm, control: Arm | None, study: dict[str, Any] | None = None) -> dict[str, Any]:
    """All that the template shows, as plain values."""
    clusters = {name: i for i, name in enumerate(sorted(set(arm.clusters.values())))}
    own, other = Measures(arm), Measures(control) if control is not None and control.finished else None
    control_name = form_name(control.form) if control is not None else ""
    atlas, some, shown = Atlas(), crowd(own, clusters), written if arm.written else gallery
    cards = shown.people(own, other, clusters, atlas, some.names if some else None)
    return {
        "name": arm.name, "folder": arm.path.resolve().name, "finished": arm.finished, "arm": arm, "control": control,
        "control_name": control_name, "keeps": "keeps" if arm.personal else "was served",
        "sentence": sentence(arm), "people": cards, "lineup": shown.lineup(cards), "shapes": SHAPES,
        "written": arm.written, "noun": arm.noun, "made": arm.made, "group": arm.group,
        "perplexity": written.table(own, other, some) if arm.written else None,
        "clusters": [(k, i, sorted(c for c in arm.clusters if arm.clusters[c] == k)) for k, i in clusters.items()],
        "facts": facts(arm, control), "keys": key_numbers(own, other), "any_personal": own.any_personal,
        "map": near(arm, clusters, some), "crowd": some, "hybrids": shown.hybrids(arm, clusters, atlas),
        "curves": curves(own, other, clusters, control_name, "all folders" if arm.alone else "everybody"),
        "ends": {t: ends(own, other, t) for t in TESTS},
        "unseen": unseen(arm), "alone": arm.alone, "own_prompts": bool(arm.table("pictures").get("own_prompts")),
        "progress": shown.progress(arm, clusters, atlas), "lives": belonging(arm, clusters),
        "losses": losses(arm), "forgetting": forgetting(arm), "trains": crossings.leaving(arm)["train"].what,
        "sent": crossings.sent_by_people(arm), "weight": crossings.weight_of(arm), "traffic": crossings.traffic(arm),
        "stayed": crossings.never_sent(arm), "instead": crossings.sent_instead(arm),
        "links": crossings.links(arm), "wordings": crossings.other_wishes(arm),
        "table": only(table(own, other, clusters), some), "levels": only(levels(own, clusters), some),
        "scored": scored(own, other), "copies": copies(arm), "study": study, "air": on_air(arm.path / "server"),
        "not_run": limits.not_run(arm, control, study is not None),
        "wrong": limits.went_wrong(arm, control), "again": limits.again(arm), "atlas": atlas,
    }  # fmt: skip


def losses(arm: Arm) -> list[tuple[int, float, str]]:
    """The journal's mean held-out loss after each round that was scored, and whether it is one of other people."""
    scored = [(n, e) for n, e in sorted(arm.rounds_by_number.items()) if e.get("loss") is not None]
    return [(n, float(e["loss"]), others(e["scored"]) if e.get("scored") else "") for n, e in scored]


def unseen(arm: Arm) -> bool:
    """Whether all prompts are subjects that the studio holds out for everybody."""
    from coterie.data.sources.studio import PROMPTS

    return arm.table("data").get("source", {}).get("name") == "studio" and set(arm.prompts) <= set(PROMPTS)


def sentence(arm: Arm) -> str:
    """What ran, in words."""
    form, n, model = arm.table("form"), arm.count, "language" if arm.written else "picture"
    if arm.alone:
        held = "documents" if arm.written else "pictures"
        became = "folder of {} became an adapter" if n == 1 else "folders of {} became adapters"
        return f"{count(n).capitalize()} {became.format(held)} of one frozen {model} model."
    who = f"{count(n).capitalize()} {'person' if n == 1 else 'people'}" if n else "Some people"
    grouping = str(form.get("grouping", {}).get("name", ""))
    how = {
        "clustered": f"taught one frozen {model} model together. They were "
        f"{GROUPINGS.get(grouping, 'put in groups')}, and each group trained an adapter of its own",
        "fedavg": f"taught one frozen {model} model together and all trained one shared adapter",
        "ifca": f"taught one frozen {model} model together. Each round everybody trained the one of several shared "
        f"adapters that suited its own {arm.noun}s best",
        "local": f"each taught one frozen {model} model alone, and shared no adapter",
    }.get(arm.form, f"taught one frozen {model} model together: {form_name(arm.form).lower()}")
    personal = str(form.get("keeping", {}).get("name", "none")) != "none"
    keeps = "also keeps a personal one" if arm.finished else "will also keep a personal one"
    return f"{who} {how}{f'; everybody {keeps}, which is never sent' if personal else ''}."


def each(arm: Arm) -> str:
    """How many pictures clients learn from, fewest to most: ``10 to 15``; empty where it is not known."""
    pictures = sorted({c.examples for c in arm.clients.values() if c.examples is not None})
    return " to ".join(str(x) for x in dict.fromkeys(pictures[:1] + pictures[-1:]))


def facts(arm: Arm, control: Arm | None) -> dict[str, str]:
    """The recipe in short."""
    fit = arm.table("form").get("fit", {})
    form = arm.form + (f"; control: {control.form}" if control else "")
    used = memory_used(arm)
    seconds, rounds = arm.results.get("seconds"), arm.recipe.get("rounds", "–")
    spent = [duration(seconds)] if seconds is not None else []
    if control is not None and control.results.get("seconds") is not None:
        spent.append(f"{duration(control.results['seconds'])} for the control")
    return {
        "folders" if arm.alone else "people": str(arm.count or "–"),
        f"{arm.noun}s each": each(arm) or "–",
        "rounds": f"{arm.rounds_done} of {rounds}" if not arm.finished else str(rounds),
        "steps a round": str(fit.get("steps", "–")),
        "form": form,
        "time": ", ".join(spent) or "not finished",
        **({"peak memory": used} if used else {}),
        "seed": str(arm.recipe.get("seed", "–")),
        "number type": str(arm.table("engine").get("dtype", "–")),
        "backbone": f"{arm.table('backbone').get('name', '–')} {arm.digest}".strip(),
    }


def memory_used(arm: Arm) -> str:
    """The peak of memory as it was predicted and as it was, and what was allowed; empty where nothing was predicted."""
    planned = [e for e in arm.events if e.get("event") == "planned" and e.get("checkpointing") is not None]
    if not planned:
        return ""
    peaks = [e["peak"] for e in arm.events if e.get("event") == "finished" and e.get("peak")]
    said = f"{size(planned[-1]['peak'])} predicted ({planned[-1]['phase']}), {planned[-1]['memory']} allowed"
    return f"{said}, {size(max(peaks))} used" if peaks else said


def key_numbers(own: Measures, control: Measures | None) -> list[dict[str, str]]:
    """The cards at the top."""
    arm, mine = own.arm, spread(own.everybody("own"))
    truths = {c.truth for c in arm.clients.values()} - {None}
    pictures = sum(c.examples or 0 for c in arm.clients.values())
    taught = f"{plural(pictures, arm.noun)} to learn from" if pictures else ""
    if pictures and len(arm.clients) > 1:
        taught += f", {each(arm)} each"
    keys = [{"label": "adapters" if arm.alone else "people", "value": str(arm.count or "–"), "note": taught}]
    names = sorted(arm.clusters.values())
    if names:
        sizes = [str(names.count(name)) for name in dict.fromkeys(names)]
        alone = f", {count(sizes.count('1'))} of them alone" if "1" in sizes and len(sizes) > 1 else ""
        note = f"of {listed(sizes)} people{alone}" + (f"; {plural(len(truths), 'true style')}" if truths else "")
        label = f"{arm.group}s found" if arm.groups_found else f"{arm.group}s"
        keys.append({"label": label, "value": str(len(set(names))), "note": note})
    if mine:
        note = f"worst {'adapter' if arm.alone else 'person'} {percent(mine['worst'])}"
        theirs = spread(control.everybody("own")) if control else None
        if theirs and control:
            name = form_name(control.arm.form).lower()
            note += f". Control, {name}: {percent(theirs['mean'])}, worst {percent(theirs['worst'])}"
        keys.append({"label": "of the model's error removed, on average", "value": percent(mine["mean"]), "note": note})
    if arm.written:
        keys += written.key(own)
    weight = crossings.weight_of(arm)
    if weight and not arm.alone:
        keys.append({
            "label": "handed over by a person in a round, on average", "value": size(weight.handed.num_bytes),
            "note": handed_note(arm, weight),
        })  # fmt: skip
    return keys


def handed_note(arm: Arm, weight: crossings.Weight) -> str:
    """To whom, in how many messages, and how large the full model would be."""
    what = f"{crossings.leaving(arm)['train'].what}; " if not arm.sends_adapters else ""
    several = weight.handed.messages > 1
    many = f", in {weight.handed.messages:.3g} messages" if several else ""
    full = f"; the full model would be {size(weight.full_bytes)}{' each time' * several}" if weight.full_bytes else ""
    return f"{what}to {weight.handed.to}{many}, measured on the wire{full}"


def near(arm: Arm, clusters: Mapping[str, int], some: Crowd | None) -> dict[str, Any] | None:
    """The map of wishes and how well clusters agree with true styles; None if no wishes were read."""
    wishes = {c: w for c, w in arm.wishes.items() if c in arm.clusters and (some is None or c in some.names)}
    if len(wishes) < 3:
        return None
    score = arm.numbers.get("group/silhouette")  # -1 where it is not defined
    drawn = wish_map(wishes, {c: clusters[k] for c, k in arm.clusters.items()})
    return {
        "marks": drawn.marks, "shown": drawn.shown, "width": WIDTH, "height": HEIGHT, "ari": agreement(arm),
        "silhouette": score if score is not None and score > -1 else None, "floor": arm.numbers.get("group/floor"),
        "loners": len(loners(arm.clusters)), "used": arm.table("data").get("wish"),
        "others": arm.results.get("other_wishes") or {},
    }  # fmt: skip


def table(own: Measures, control: Measures | None, clusters: Mapping[str, int]) -> list[dict[str, Any]]:
    """Losses of the bare model and shares removed, a row for each person."""
    arm = own.arm
    rows = []
    for name, client in arm.clients.items():
        tests = {}
        for test in TESTS:
            base = own.base(name, test)
            tests[test] = {
                "base": base.loss if base else None,
                "served": own.removed(name, test, "served"),
                "personal": own.removed(name, test, "personal"),
                "control": control.removed(name, test) if control else None,
            }
        cluster = arm.clusters.get(name)
        mark = clusters.get(cluster or "", 0)
        rows.append({"name": name, "client": client, "cluster": cluster, "mark": mark, "copies": arm.copies.get(name),
                     "tests": tests})  # fmt: skip
    return rows


def scored(own: Measures, control: Measures | None) -> dict[str, list[str]]:
    """Of each test set that has scores, the adapters that have a column; what is served in the form local is bare."""
    kinds = [*([] if own.arm.form == "local" else ["served"]), *(["personal"] if own.any_personal else [])]
    found = {t: [k for k in kinds if own.everybody(t, k)] for t in TESTS}
    if control is not None:
        found = {t: [*k, *(["control"] if control.everybody(t) else [])] for t, k in found.items()}
    return {t: k for t, k in found.items() if k or any(own.base(c, t) for c in own.arm.clients)}


def ends(own: Measures, control: Measures | None, test: str) -> dict[str, Any]:
    """Mean, worst and best over people of what was served, is personal, and of the control."""
    found = {adapter: spread(own.everybody(test, adapter)) for adapter in ("served", "personal")}
    return {**found, "control": spread(control.everybody(test)) if control else None}


def levels(own: Measures, clusters: Mapping[str, int]) -> list[dict[str, Any]]:
    """Shares removed by what people keep, in four groups of noise levels."""
    marks = {c: clusters.get(own.arm.clusters.get(c, ""), 0) for c in own.arm.clients}
    found = {c: {t: own.removed_by_level(c, t) for t in TESTS} for c in own.arm.clients}
    return [{"name": c, "mark": marks[c], **tests} for c, tests in found.items() if len(tests["own"]) > 1]  # not texts


def copies(arm: Arm) -> dict[str, Any] | None:
    """Copies of all people together, and how many pictures that are none would count as copies."""
    drawn = sum(c.pictures for c in arm.copies.values())
    if not drawn:
        return None
    expected = sum(c.expected * c.pictures for c in arm.copies.values())
    striking = [
        f"{name} ({c.copies} of {c.pictures}, about {c.expected * c.pictures:.1f} by chance)"
        for name, c in arm.copies.items()
        if at_least(c.copies, c.pictures, c.expected) < 0.01 / len(arm.copies)
    ]
    found = sum(c.copies for c in arm.copies.values())
    return {"found": found, "drawn": drawn, "expected": expected, "striking": striking}


def render(values: Mapping[str, Any]) -> str:
    """The page for a context; its one style and its one script are allowed by their digests, and nothing else is."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    assets = files("coterie.report") / "assets"
    style = "\n".join((assets / name).read_text("utf-8") for name in ("uPlot.min.css", "report.css"))
    style += values["atlas"].style()
    script = "\n".join((assets / name).read_text("utf-8") for name in ("locale.js", "uPlot.iife.min.js", "report.js"))
    environment = Environment(
        loader=PackageLoader("coterie.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= FILTERS
    policy = f"default-src 'none'; img-src data:; style-src {digest(style)}; script-src {digest(script)}"
    return environment.get_template("report.html.j2").render(
        **values, policy=f"{policy}; base-uri 'none'; form-action 'none'", style=Markup(style), script=Markup(script),
        data=Markup(embedded(values["curves"])),
    )  # fmt: skip


def embedded(value: Any) -> str:
    """JSON that can stand inside a script element whatever strings it holds."""
    text = json.dumps(value, allow_nan=False)
    for bad in "<>&\u2028\u2029":
        text = text.replace(bad, f"\\u{ord(bad):04x}")
    return text


def digest(text: str) -> str:
    """A source expression that allows exactly this text."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
