"""Trains the judges of style and of subject, on real pictures only, and measures them on real held-out ones.

    python tools/make_judges.py --emoji-clients DIR --crawl FILE --drawings noto.parquet --drawings twemoji.parquet \\
        --drawings emojione2.parquet --out src/coterie/evals/judges

DIR holds ``fluent-flat.parquet`` and ``fluent-contrast.parquet`` (64 pixels, on white), FILE the Dungeon Crawl tiles;
the drawings are those that the backbone learned from. What the studio holds out is in neither judge's training set, and
what pretraining holds out is not in the subject judge's. The same inputs, seed and machine give the same weights.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from make_studio import SETS, emoji_subject, first_codepoints, in_look, is_held_out, opened
from PIL import Image
from scipy import ndimage
from studio_tiles import TILES, tile_subject

from coterie.data.sources.studio import Studio
from coterie.evals.classifier import Classifier, Lessons, load_classifier, train_classifier
from coterie.models.png import png_bytes, sheet
from coterie.pretraining.scenes import draw_alone, draw_scene
from coterie.pretraining.sprites import Sprite, read_sprites
from coterie.pretraining.sprites import is_held_out as is_held_out_of_pretraining

STYLE = Lessons(epochs=8, width=32, warp=False)
SUBJECT = Lessons(epochs=28, width=32, members=2)
FAR_BLUR, FAR_NOISE = (1.6, 5.0), (0.25, 0.6)  # standard deviations, in pixels and of a range of one: no style is left
NEAR_BLUR, NEAR_NOISE = (0.0, 0.9), (0.0, 0.08)  # a little soft or rough, and still in its style


@dataclass(frozen=True)
class Real:
    """One real picture ``(32, 32, 3)``: where from, which group and subgroup, and whether either rule holds it out."""

    pixels: np.ndarray
    look: str
    group: str
    name: str
    studio_held: bool
    pretraining_held: bool = False


# ---------------------------------------------------------------- pictures


def public(paths: list[Path], codepoints: dict[str, str]) -> tuple[list[Real], list[Sprite]]:
    """Each drawing once, alone on white as the backbone saw it, and the drawings themselves in the same order."""
    rng, found, sprites = np.random.default_rng(1), [], []
    for path in paths:
        subgroups = {row["codepoint"]: row["subgroup"] for row in pq.read_table(path).to_pylist()}
        for sprite in read_sprites([path]):
            group = f"{sprite.group}/{subgroups[sprite.codepoint]}"
            pixels = draw_alone(sprite, rng)[0]
            found.append(real(pixels, path.stem, group, sprite.name, sprite.codepoint, codepoints))
            sprites.append(sprite)
    return found, sprites


def fluent(path: Path, look: str, codepoints: dict[str, str]) -> list[Real]:
    """A whole set of 64-pixel drawings in a look of the studio."""
    found = []
    for row in pq.read_table(path).to_pylist():
        group = f"{row['group']}/{row['subgroup']}"
        found.append(real(in_look(opened(row), look), look, group, row["name"], row["codepoint"], codepoints))
    return found


def real(pixels: np.ndarray, look: str, group: str, name: str, codepoint: str, codepoints: dict[str, str]) -> Real:
    held = is_held_out(emoji_subject(name), codepoints)
    return Real(pixels, look, group, name, held, is_held_out_of_pretraining(codepoint))


def all_tiles(path: Path, codepoints: dict[str, str]) -> list[Real]:
    """Every tile, also those that the studio does not take; parted by the same words."""
    kinds = {name: kind for names in TILES.values() for kind, name in names}
    found = []
    for row in pq.read_table(path).to_pylist():
        name = row["name"]
        held = is_held_out(tile_subject(kinds.get(name, ""), name), codepoints)
        found.append(Real(opened(row), "pixel", row["kind"], name, held))
    return found


def soft(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A little out of focus, a little rough."""
    return rough(blurred(pixels, rng.uniform(*NEAR_BLUR)), rng.uniform(*NEAR_NOISE), 1, rng)


def blurry(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return blurred(pixels, rng.uniform(*FAR_BLUR))


def noisy(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Noise in grains of one, two or four pixels."""
    return rough(pixels, rng.uniform(*FAR_NOISE), int(rng.choice([1, 2, 4])), rng)


def blurred(pixels: np.ndarray, sigma: float) -> np.ndarray:
    out = ndimage.gaussian_filter(pixels.astype(np.float32), (sigma, sigma, 0), mode="nearest")
    return out.round().astype(np.uint8)


def rough(pixels: np.ndarray, deviation: float, grain: int, rng: np.random.Generator) -> np.ndarray:
    side = len(pixels) // grain
    noise = rng.normal(size=(side, side, 3)).repeat(grain, 0).repeat(grain, 1)
    return np.clip(pixels + 255 * deviation * noise, 0, 255).round().astype(np.uint8)


def on_ground(sprite: Sprite, look: str) -> np.ndarray:
    """A public drawing as it is, on the bare ground of a look: the right background alone is not the style."""
    ground = Image.fromarray(in_look(np.full((64, 64, 3), 255, np.uint8), look)).resize((64, 64), Image.Resampling.BOX)
    picture = Image.fromarray(sprite.rgba)
    ground.paste(picture, mask=picture.getchannel("A"))
    return np.asarray(ground.reduce(2), dtype=np.uint8)


# ---------------------------------------------------------------- the style judge


def style_pictures(
    looks: dict[str, list[Real]], drawings: list[Real], sprites: list[Sprite], held: bool, seed: int
) -> tuple[np.ndarray, list[str]]:
    """Pictures and labels of the subjects that are held out, or of the others.

    Each picture in a look comes as it is and once soft. *Other* are public drawings on white, soft, in scenes and on
    the looks' grounds, the bare grounds, and a blurred or noised copy of every picture in a look and of every drawing.
    """
    rng = np.random.default_rng([seed, held])
    found: list[tuple[np.ndarray, str]] = []

    def spoiled(pixels: np.ndarray) -> None:
        bad: Callable[[np.ndarray, np.random.Generator], np.ndarray]
        bad, name = (blurry, "blurred") if rng.random() < 0.5 else (noisy, "noised")
        found.append((bad(pixels, rng), f"other/{name}"))

    for look, pictures in looks.items():
        for one in pictures:
            if one.studio_held == held:
                found += [(one.pixels, look), (soft(one.pixels, rng), look)]
                spoiled(one.pixels)
    for one, sprite in zip(drawings, sprites, strict=True):
        if one.studio_held == held:
            found += [(one.pixels, "other/white"), (draw_scene(sprite, rng)[0], "other/scene")]
            spoiled(one.pixels)
            chance = rng.random()
            if chance < 0.2:
                found.append((on_ground(sprite, "neon"), "other/ground"))
            elif chance < 0.4:
                found.append((on_ground(sprite, "blueprint"), "other/ground"))
            elif chance < 0.6:
                found.append((soft(one.pixels, rng), "other/white"))
    for look in ("neon", "blueprint", "contrast"):
        bare = in_look(np.full((64, 64, 3), 255, np.uint8), look)
        found += [(soft(bare, rng), "other/bare") for _ in range(5 if held else 30)]
    return np.stack([pixels for pixels, _ in found]), [label for _, label in found]


def measure_style(judge: Classifier, pictures: np.ndarray, labels: list[str]) -> dict:
    """Accuracy by class and by kind of *other*, the confusion, and what it says to the studio's held-out pictures."""
    said, truth = judge.names(pictures), [label.split("/")[0] for label in labels]
    confusion = {
        name: {
            other: sum(t == name and s == other for t, s in zip(truth, said, strict=True)) for other in judge.classes
        }
        for name in judge.classes
    }
    studio = Studio().read(32)
    tests = [i for i, split in enumerate(studio.columns["split"]) if split == "test"]
    styles = [studio.columns["style"][i] for i in tests]
    return {
        "accuracy": share(said, truth),
        "by_class": {name: share_of(said, truth, [t == name for t in truth]) for name in judge.classes},
        "by_kind_of_other": {
            kind: share_of(said, truth, [label == kind for label in labels])
            for kind in sorted({label for label in labels if "/" in label})
        },
        "confusion": confusion,
        "studio_held_out": round(judge.accuracy(studio.pixels[tests], styles), 4),
        "pictures": len(labels),
    }


# ---------------------------------------------------------------- the subject judge


def measure_subject(judge: Classifier, drawings: list[Real], looks: dict[str, list[Real]]) -> dict:
    """Accuracy on real public pictures that pretraining holds out, and by look on what the studio holds out."""
    held = [one for one in drawings if one.pretraining_held]
    tests = {"public": held}
    tests |= {look: [one for one in pictures if one.studio_held] for look, pictures in looks.items()}
    found = {}
    for name, pictures in tests.items():
        groups = [one.group.split("/")[0] for one in pictures]
        said = judge.names(np.stack([one.pixels for one in pictures]))
        found[name] = {
            "accuracy": share(said, groups),
            "pictures": len(groups),
            "most_common_group": round(max(groups.count(g) for g in groups) / len(groups), 4),
            "by_group": {g: share_of(said, groups, [t == g for t in groups]) for g in judge.classes},
        }
    return found


def share(said: list[str], truth: list[str]) -> float:
    return round(float(np.mean([s == t for s, t in zip(said, truth, strict=True)])), 4)


def share_of(said: list[str], truth: list[str], chosen: list[bool]) -> float:
    at = [i for i, yes in enumerate(chosen) if yes]
    return share([said[i] for i in at], [truth[i] for i in at])


# ---------------------------------------------------------------- all of it


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--emoji-clients", type=Path, required=True)
    parser.add_argument("--crawl", type=Path, required=True)
    parser.add_argument("--drawings", type=Path, action="append", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", choices=("style", "subject"), help="make one of the two, keep the other as it is")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sheets", type=Path, help="also write contact sheets of misjudged pictures into this folder")
    args = parser.parse_args()
    torch.set_num_threads(1)  # the order of sums, and so the weights, would depend on it
    args.out.mkdir(parents=True, exist_ok=True)
    codepoints = first_codepoints(args.emoji_clients / "fluent-flat.parquet")
    drawings, sprites = public(args.drawings, codepoints)
    looks = {look: fluent(args.emoji_clients / f"{name}.parquet", look, codepoints) for look, name in SETS.items()}
    record = args.out / "measured.json"
    measured = json.loads(record.read_text()) if record.is_file() else {}

    if args.only != "subject":
        styles = {**looks, "pixel": all_tiles(args.crawl, codepoints)}
        pictures, labels = style_pictures(styles, drawings, sprites, False, args.seed)
        judge = learned("style", pictures, labels, STYLE, args)
        pictures, labels = style_pictures(styles, drawings, sprites, True, args.seed)
        measured["style"] = {"trained_on": len(judge[1]), **measure_style(judge[0], pictures, labels)}
        if args.sheets:
            misjudged(judge[0], pictures, labels, args.sheets / "style.png")

    if args.only != "style":
        pool = [*drawings, *(one for pictures in looks.values() for one in pictures)]
        train = [one for one in pool if not one.studio_held and not one.pretraining_held]
        judge = learned("subject", np.stack([o.pixels for o in train]), [o.group for o in train], SUBJECT, args)
        measured["subject"] = {"trained_on": len(train), **measure_subject(judge[0], drawings, looks)}
        if args.sheets:
            tests = [one for one in drawings if one.pretraining_held]
            misjudged(
                judge[0], np.stack([o.pixels for o in tests]), [o.group for o in tests], args.sheets / "subject.png"
            )

    record.write_text(json.dumps(measured, indent=1) + "\n")
    print(json.dumps(measured, indent=1))


def learned(
    name: str, pictures: np.ndarray, labels: list[str], lessons: Lessons, args: argparse.Namespace
) -> tuple[Classifier, list[str]]:
    """Trains, writes the file, and gives back what the file holds: what is measured is what is shipped."""

    def tell(epoch: int, loss: float) -> None:
        print(f"{name} epoch {epoch}: {loss:.3f}", flush=True)

    print(f"{name}: {len(labels)} pictures", flush=True)
    path = args.out / f"{name}.safetensors"
    train_classifier(pictures, labels, args.seed, lessons, tell).save(path)
    return load_classifier(path), labels


def misjudged(judge: Classifier, pictures: np.ndarray, labels: list[str], path: Path) -> None:
    """Up to 64 misjudged pictures, for looking at; which they are is printed."""
    said = judge.names(pictures)
    wrong = [i for i, label in enumerate(labels) if said[i] != label.split("/")[0]]
    chosen = np.random.default_rng(0).permutation(wrong)[:64].tolist()
    rows = [[pictures[i] for i in chosen[k : k + 8]] for k in range(0, len(chosen), 8)]
    path.parent.mkdir(parents=True, exist_ok=True)
    if rows:
        path.write_bytes(png_bytes(sheet(rows, 3)))
    for k in range(0, len(chosen), 8):
        print(" | ".join(f"{labels[i]} as {said[i]}" for i in chosen[k : k + 8]))


if __name__ == "__main__":
    main()
