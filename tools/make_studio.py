"""Writes the studio: which pictures twelve people hold, drawn in four looks at 32 pixels.

    python tools/make_studio.py --emoji-clients DIR --crawl FILE --out src/coterie/data/studio

DIR holds ``fluent-flat.parquet`` and ``fluent-contrast.parquet`` (64 pixels, on white), FILE the Dungeon Crawl tiles.
Everything is decided by digests of names, so the same inputs give the same file.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from datasets import Dataset
from datasets import Image as HFImage
from PIL import Image
from studio_looks import LOOKS
from studio_tiles import TILES, tile_caption, tile_subject

from coterie.data.check import distances
from coterie.data.sources.studio import PROMPTS

SIDE, TRAIN, HELD_OUT, LEAN, HELD_SHARE = 32, 12, 8, 0.7, 0.15
BLANK = np.zeros((SIDE, SIDE, 3), np.uint8)
APART = 0.12  # correlation distance between any two pictures of a look, a little more than the test asks for
SETS = {"contrast": "fluent-contrast", "neon": "fluent-flat", "blueprint": "fluent-flat"}
GROUPS = {"animals-nature", "food-drink", "travel-places", "objects", "activities", "smileys-emotion"}
DULL_SUBGROUPS = {"time", "place-map", "emotion", "sound", "money", "mail", "award-medal", "book-paper", "hotel"}
DULL = re.compile(
    r"moon|suit$|chart|card|calendar|nose|prints|Japan|Tokyo|Statue|kaaba|cigarette|coffin|poo|wing$|motorway|station"
    r"|stop|traffic|hamsa|nazar|placard|razor|slider|knobs|drop|arrival|departure|oncoming|battery|folder|link|cable"
    r"|with slash|tray|briefs|bikini|syringe|pill|bomb|dagger|swords|pistol|label|toilet|garbage|waste|microbe|drum$"
    r"|satellite|petri|dvd|disk|dna|wheelchair|locked|religious|mosque|church|temple|synagogue|shrine|sign|fog|pick$|x-ray|brick|beads"
    r"|^(?:red|pink|orange|yellow|green|blue|light blue|purple|brown|black|white|grey) "  # three looks have no colours
)
SAME = {"sauropod": "dinosaur", "t-rex": "dinosaur", "trolleybus": "bus", "minibus": "bus", "metro": "train"}


@dataclass(frozen=True)
class Drawing:
    """One candidate picture of a look."""

    pixels: np.ndarray
    caption: str
    subject: str
    group: str
    source: str
    licence: str


def digest(*words: str) -> int:
    return int.from_bytes(hashlib.sha256("/".join(("coterie studio", *words)).encode()).digest()[:8], "big")


def is_held_out(subject: str, codepoints: dict[str, str]) -> bool:
    """The report's prompts, and 15 % of the others by their codepoint, or by their name where no emoji has it."""
    return subject in PROMPTS or digest(codepoints.get(subject, subject)) % 1000 < 1000 * HELD_SHARE


def emoji_subject(name: str) -> str:
    """The thing itself: a polar bear and a teddy bear are both a bear, and every cat's face is a cat."""
    name = name if re.search(r"(ing|ed|y|with) face$", name) else name.lower().removesuffix(" face")
    noun = re.split(r" (?:with|of|on|in|behind|from|over|without|blowing|savoring|tilted) ", name)[0]
    last = noun.split()[-1]
    if last in {"face", "glass", "shoe", "instrument", "bag", "ball", "machine", "light", "pole"}:
        return name
    singular = re.sub(r"ies$", "y", last) if last.endswith("ies") else re.sub(r"(?<![sui])s$", "", last)
    return SAME.get(singular, singular)


# ---------------------------------------------------------------- candidates


def opened(row: dict) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(row["image"]["bytes"])).convert("RGB"))


def in_look(rgb: np.ndarray, look: str) -> np.ndarray:
    """A drawing ``(64, 64, 3)`` on white as the picture ``(32, 32, 3)`` of a look."""
    drawn = np.clip(LOOKS[look](rgb), 0, 1).reshape(SIDE, 2, SIDE, 2, 3).mean((1, 3))
    return (drawn * 255).round().astype(np.uint8)


def emoji(path: Path, look: str) -> list[Drawing]:
    found = []
    for row in pq.read_table(path).to_pylist():
        plain = row["group"] in GROUPS and row["subgroup"] not in DULL_SUBGROUPS and not DULL.search(row["name"])
        if plain:
            caption = row["name"].replace("’", "'")
            pixels = in_look(opened(row), look)
            found.append(Drawing(pixels, caption, emoji_subject(row["name"]), row["group"], path.stem, "MIT"))
    return found


def tiles(path: Path) -> list[Drawing]:
    rows: dict[tuple[str, str], dict] = {}
    for row in pq.read_table(path).to_pylist():
        rows.setdefault((row["subkind"].split("/")[0], row["name"]), row)
        rows.setdefault(("", row["name"]), row)
    return [
        Drawing(
            opened(rows[kind, name]), tile_caption(kind, name), tile_subject(kind, name), group, path.stem, "CC0-1.0"
        )
        for group, names in TILES.items()
        for kind, name in names
    ]


# ---------------------------------------------------------------- who gets what


def choose(
    people: dict[str, dict], drawings: list[Drawing], held: bool, taken: list[Drawing]
) -> dict[str, list[Drawing]]:
    """In turns, each person picks a drawing of the group that their leaning wants, unlike all in ``taken``.

    Held-out drawings that others of the look have are picked again once no fresh one of that group is left.
    """
    apart = distances(np.stack([d.pixels for d in drawings]), np.stack([d.pixels for d in drawings]))
    first_taken = distances(np.stack([d.pixels for d in drawings]), np.stack([d.pixels for d in taken] or [BLANK]))
    closest = first_taken.min(1) if taken else np.full(len(drawings), 2.0)
    subjects = {d.subject for d in taken}
    picked: dict[str, list[int]] = {person: [] for person in people}
    for turn in range(HELD_OUT if held else TRAIN):
        before, after = round(turn * LEAN), round((turn + 1) * LEAN)
        for person, about in people.items():
            leaning = about["leaning"]
            order = sorted(
                range(len(drawings)), key=lambda k, p=person: digest(p, drawings[k].subject, drawings[k].caption)
            )
            if after > before:
                groups = [{leaning[before % 2]}, {leaning[1 - before % 2]}]
            else:
                groups = [{d.group for d in drawings} - set(leaning)]
            fresh = [
                k
                for wanted in groups
                for k in order
                if drawings[k].group in wanted and drawings[k].subject not in subjects and closest[k] >= APART
            ]
            others = {k for mine in picked.values() for k in mine} - set(picked[person])
            shared = [k for wanted in groups for k in order if held and drawings[k].group in wanted and k in others]
            if not fresh + shared:
                raise SystemExit(
                    f"{person}: nothing of {groups} is left for {'held-out' if held else 'train'} {turn + 1}"
                )
            k = (fresh + shared)[0]
            picked[person].append(k)
            subjects.add(drawings[k].subject)
            closest = np.minimum(closest, apart[k])
    taken.extend(drawings[k] for k in sorted({k for mine in picked.values() for k in mine}))
    return {person: [drawings[k] for k in mine] for person, mine in picked.items()}


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--emoji-clients", type=Path, required=True)
    parser.add_argument("--crawl", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="the folder that holds people.toml")
    parser.add_argument("--sheet", type=Path, help="also write a contact sheet here, for looking at")
    args = parser.parse_args()
    people = tomllib.loads((args.out / "people.toml").read_text(encoding="utf-8"))
    looks = {look: emoji(args.emoji_clients / f"{name}.parquet", look) for look, name in SETS.items()}
    codepoints = first_codepoints(args.emoji_clients / "fluent-flat.parquet")
    looks["pixel"] = tiles(args.crawl)
    rows = []
    for look, drawings in looks.items():
        mine = {person: about for person, about in people.items() if about["style"] == look}
        taken: list[Drawing] = []
        for split in ("test", "train"):  # held-out ones first: what is trained on must stay clear of them
            pool = [d for d in drawings if is_held_out(d.subject, codepoints) == (split == "test")]
            for person, chosen in choose(mine, pool, split == "test", taken).items():
                rows += [as_row(d, person, look, split) for d in chosen]
    rows.sort(key=lambda row: (row["person"], row["split"] == "test"))
    parted = [is_held_out(subject, codepoints) for subject in codepoints]
    print(f"{np.mean(parted):.1%} of {len(parted)} emoji subjects are held out")
    Dataset.from_list(rows).cast_column("image", HFImage()).to_parquet(str(args.out / "studio.parquet"))
    if args.sheet:
        sheet(rows).save(args.sheet)


def first_codepoints(path: Path) -> dict[str, str]:
    """The codepoint by which each subject is parted: that of its first emoji."""
    found: dict[str, str] = {}
    for row in pq.read_table(path, columns=["name", "codepoint"]).to_pylist():
        found.setdefault(emoji_subject(row["name"]), row["codepoint"])
    return found


def as_row(drawing: Drawing, person: str, look: str, split: str) -> dict:
    name = f"{drawing.source}/{drawing.caption}.png"
    columns = {"caption": drawing.caption, "person": person, "style": look, "split": split, "subject": drawing.subject}
    columns |= {"group": drawing.group, "source": drawing.source, "licence": drawing.licence}
    return {"image": {"bytes": png(drawing.pixels), "path": name}, **columns}


def sheet(rows: list[dict], scale: int = 6) -> Image.Image:
    """A line for each person, by look: twelve training pictures, then eight held-out ones."""
    lines: dict[tuple[str, str], list[dict]] = {}
    for row in rows:
        lines.setdefault((row["style"], row["person"]), []).append(row)
    step = SIDE * scale + 4
    picture = Image.new("RGB", (step * (TRAIN + HELD_OUT) + 24, step * len(lines)), "grey")
    for y, key in enumerate(sorted(lines)):
        for x, row in enumerate(lines[key]):
            one = Image.open(io.BytesIO(row["image"]["bytes"])).resize(
                (SIDE * scale, SIDE * scale), Image.Resampling.NEAREST
            )
            picture.paste(one, (x * step + (20 if x >= TRAIN else 0), y * step))
    return picture


if __name__ == "__main__":
    main()
