"""The networks that look at drawings: a judge of styles, a judge of subjects, and one whose features are compared.

All learn from real pictures only. The judges learn from pictures of the clients' looks that no client holds, of other
subjects than those that are drawn (``judging.subjects``); the third has seen public drawings only, in no client's look.
They are trained once and cached beside the study, with how often they are right on real held-out pictures.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from coterie.core.errors import UserError
from coterie.data.picture import squares
from coterie.data.sources.parquet import Parquet
from coterie.data.table import Table, join
from coterie.engines.disk import write_bytes
from coterie.evals.classifier import Classifier, Lessons, load_classifier, train_classifier
from coterie.studies.cast import cast_of, inputs, people_of
from coterie.studies.chosen import Chosen
from coterie.studies.recipe import Judging

Pixels = NDArray[np.uint8]
SIDE = 32
OTHER = "other"
WIDTH = 32  # channels of the first stage of each network
FAR_BLUR, FAR_NOISE = (1.6, 5.0), (0.25, 0.6)  # standard deviations, in pixels and of a range of one: no style is left
NEAR_BLUR, NEAR_NOISE = (0.0, 0.9), (0.0, 0.08)  # a little soft or rough, and still in its style
EXTRACTOR = "a small convolutional network that learned to tell the subject groups of public drawings"


@dataclass(frozen=True)
class Judges:
    """The three networks.

    Attributes:
        style: names a client's look, or ``other``.
        subject: names a kind of subject; None where the pictures say none.
        extractor: for features.
        measured: what each is right on, and how much it learned from.
    """

    style: Classifier
    subject: Classifier | None
    extractor: Classifier
    measured: dict[str, Any]


@dataclass(frozen=True)
class Real:
    """Real pictures that nobody learns from, by look: for judges, and held out to be drawn after and compared with."""

    train: dict[str, Table]
    held_out: dict[str, Table]


def real_pictures(chosen: Chosen, held_out_only: bool = False) -> Real:
    """What nobody learns from, in the looks of those who are not apart."""
    rest = people_of(chosen).rest(SIDE, held_out_only)
    looks = sorted(set(cast_of(chosen).looks.values()))

    def of(look: str, side: str) -> Table:
        rows = [i for i in range(len(rest)) if (rest.columns["style"][i], rest.columns["split"][i]) == (look, side)]
        return rest.take(rows)

    real = Real({look: of(look, "train") for look in looks}, {look: of(look, "held-out") for look in looks})
    for look, table in [*({} if held_out_only else real.train).items(), *real.held_out.items()]:
        if len(table) < 2:
            raise UserError(f"{chosen.path}: nobody's pictures of {look!r} are too few for a judge")
    return real


def _judging(chosen: Chosen) -> Judging:
    assert chosen.study.judging is not None  # a study whose drawings nobody judges has no judges
    return chosen.study.judging


def judges_of(chosen: Chosen, out: Path, say: Callable[[str], None] = lambda line: None) -> Judges:
    """The judges of a study, from its folder where they are there already, else trained and kept."""
    setting = chosen.setting
    told = [inputs(chosen), setting.epochs, setting.most, _judging(chosen).model_dump(), WIDTH]
    folder = out / "judges" / hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:12]
    record = folder / "measured.json"
    if not record.is_file():
        _train(chosen, folder, say)
    measured = json.loads(record.read_text())
    made = {name: load_classifier(folder / f"{name}.safetensors") for name in ("style", "subject", "extractor")
            if (folder / f"{name}.safetensors").is_file()}  # fmt: skip
    return Judges(made["style"], made.get("subject"), made["extractor"], measured)


def _train(chosen: Chosen, folder: Path, say: Callable[[str], None]) -> None:
    setting, real, rng = chosen.setting, real_pictures(chosen), np.random.default_rng(0)
    public = [Parquet(chosen.data / path, caption_column="name").read(SIDE) for path in _judging(chosen).public]
    drawings = np.concatenate([squares(table.pixels, SIDE) for table in public])
    lessons = Lessons(epochs=setting.epochs, width=WIDTH, warp=False)
    learned = {look: _pool(chosen, real, look, setting.most) for look in real.train}
    folder.mkdir(parents=True, exist_ok=True)
    measured: dict[str, Any] = {}

    say("learning to judge styles")
    shown, labels = style_lessons({look: squares(t.pixels, SIDE) for look, t in learned.items()}, drawings, rng)
    judge = _kept(train_classifier(shown, labels, 0, lessons), folder / "style.safetensors")
    tests = {look: table.take(_unseen(chosen, table)) for look, table in real.held_out.items()}
    by_look = {look: judge.accuracy(squares(t.pixels, SIDE), [look] * len(t)) for look, t in tests.items()}
    measured["style"] = {"learned_from": len(labels), "right": by_look}

    if all(any(table.columns["group"]) for table in learned.values()):
        say("learning to judge subjects")
        pixels = np.concatenate([squares(t.pixels, SIDE) for t in learned.values()])
        groups = [group for t in learned.values() for group in t.columns["group"]]
        warped = Lessons(epochs=2 * setting.epochs, width=WIDTH)
        judge = _kept(train_classifier(pixels, groups, 0, warped), folder / "subject.safetensors")
        by_look = {look: judge.accuracy(squares(t.pixels, SIDE), kinds(t)) for look, t in tests.items()}
        measured["subject"] = {"learned_from": len(groups), "right": by_look}

    say("learning features of public drawings")
    groups = [group for table in public for group in _groups(table, chosen)]
    extractor = train_classifier(drawings, groups, 0, Lessons(epochs=2 * setting.epochs, width=WIDTH))
    _kept(extractor, folder / "extractor.safetensors")
    measured["extractor"] = {"learned_from": len(groups), "about": EXTRACTOR, "sets": list(_judging(chosen).public)}
    write_bytes(folder / "measured.json", (json.dumps(measured, indent=1) + "\n").encode())  # last: all are there


def kinds(table: Table) -> list[str]:
    """The kind of subject of each picture: of ``group/subgroup`` the first part."""
    return [group.split("/")[0] for group in table.columns["group"]]


def style_lessons(looks: dict[str, Pixels], drawings: Pixels, rng: np.random.Generator) -> tuple[Pixels, list[str]]:
    """Pictures and labels: each picture in a look as it is and once a little soft; *other* are the public drawings and
    a blurred or noised copy of every picture, so that the right colours without shapes are no hit. A look with fewer
    pictures is shown them more often, as often as the one with most: a judge that guesses by who drew more is none.
    """
    found: list[tuple[Pixels, str]] = []
    most = max(len(pictures) for pictures in looks.values())
    for look, pictures in looks.items():
        for one in pictures[np.arange(most) % len(pictures)]:
            soft = _rough(_blurred(one, rng.uniform(*NEAR_BLUR)), rng.uniform(*NEAR_NOISE), 1, rng)
            found += [(one, look), (soft, look), _spoiled(one, rng)]
    for one in drawings:
        found += [(one, f"{OTHER}/white"), _spoiled(one, rng)]
    return np.stack([pixels for pixels, _ in found]), [label for _, label in found]


def _spoiled(pixels: Pixels, rng: np.random.Generator) -> tuple[Pixels, str]:
    if rng.random() < 0.5:
        return _blurred(pixels, rng.uniform(*FAR_BLUR)), f"{OTHER}/blurred"
    return _rough(pixels, rng.uniform(*FAR_NOISE), int(rng.choice([1, 2, 4])), rng), f"{OTHER}/noised"


def _blurred(pixels: Pixels, sigma: float) -> Pixels:
    out = ndimage.gaussian_filter(pixels.astype(np.float32), (sigma, sigma, 0), mode="nearest")
    rounded: Pixels = out.round().astype(np.uint8)
    return rounded


def _rough(pixels: Pixels, deviation: float, grain: int, rng: np.random.Generator) -> Pixels:
    side = len(pixels) // grain
    noise = rng.normal(size=(side, side, 3)).repeat(grain, 0).repeat(grain, 1)
    return np.clip(pixels + 255 * deviation * noise, 0, 255).round().astype(np.uint8)


def _pool(chosen: Chosen, real: Real, look: str, most: int) -> Table:
    """What judges learn of a look; with ``subjects = "all"`` also held-out pictures, of which nobody has any."""
    table, held_out = real.train[look], real.held_out[look]
    unseen = set(_unseen(chosen, held_out))
    table = join([table, held_out.take([i for i in range(len(held_out)) if i not in unseen])])
    order = np.random.default_rng(0).permutation(len(table))
    return table.take(sorted(order[: most or len(table)].tolist()))


def _unseen(chosen: Chosen, held_out: Table) -> list[int]:
    """Rows of held-out pictures that no judge learns from."""
    everything = _judging(chosen).subjects == "others"
    return [i for i, holder in enumerate(held_out.columns["holder"]) if everything or holder]


def _groups(table: Table, chosen: Chosen) -> Sequence[str]:
    for name in ("group", "kind", "label"):
        if name in table.columns:
            return table.columns[name]
    raise UserError(f"{chosen.path}: judging.public: these pictures have no column 'group' to learn from")


def _kept(judge: Classifier, path: Path) -> Classifier:
    judge.save(path)
    return load_classifier(path)  # what is measured is what is kept
