"""Pictures or texts after a run: with one person's adapter, one of the server's, a weighted mix, or what the prompt
picks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from coterie.bank.compose import WAYS, Way
from coterie.core.adapter import Adapter
from coterie.core.errors import UserError, nearest
from coterie.core.progress import Steps, unheard
from coterie.core.shelf import validated
from coterie.core.size import Size, require_size
from coterie.engines.disk import write_bytes
from coterie.models.adapter_files import adaptable
from coterie.models.backbone import Draws
from coterie.models.peft_files import read_peft
from coterie.models.png import png_bytes, sheet
from coterie.models.shelves import makes
from coterie.runs.alike import aligned, at_rank, largest_rank
from coterie.runs.folder import RunFolder, new_folder, open_run
from coterie.runs.reading import read_recipe
from coterie.runs.recipe import Recipe, Texts
from coterie.runs.routed import choose

if TYPE_CHECKING:
    from coterie.bank.bank import Bank

KEPT = ("imported", "personal", "served")  # folders of what a person keeps; the first that is there is used
LARGEST_WEIGHT = 10  # in a mix; beyond it there are no pictures, only noise


@dataclass(frozen=True)
class Wanted:
    """What to draw; at most one of ``client``, ``cluster``, ``mix`` and ``bare``, and without one the prompt picks.

    ``way`` is how a mix works together; without a ``size`` pictures are the squares that the backbone knows best.
    """

    prompt: str
    client: str | None = None
    cluster: str | None = None
    mix: str | None = None
    seed: int = 0
    n: int = 8
    steps: int = 24
    guidance: float = 3.0
    way: Way = "merge"
    note_prompt: bool = False
    bare: bool = False
    size: Size | None = None


def adapter_folders(folder: RunFolder) -> dict[str, Path]:
    """Where adapters lie, by the name they are asked for: the server's own, then what each person keeps.

    What a person was given with ``coterie import --into`` comes before what was trained.
    """
    found = {p.name: p for p in sorted((folder.server / "adapters").glob("*")) if p.is_dir()}
    sites = folder.path / "sites"
    for adapters in sorted(sites.glob("**/adapters")):  # a client's id may have slashes in it
        if (path := kept_at(adapters.parent)) is not None:
            found.setdefault(adapters.parent.relative_to(sites).as_posix(), path)
    return found


def kept_at(site: Path, names: Sequence[str] = KEPT) -> Path | None:
    """The folder of the adapter that a person uses, from the person's folder; None if there is none."""
    return next((path for name in names if (path := site / "adapters" / name).is_dir()), None)


def adapter_rows(path: Path) -> list[dict[str, Any]]:
    """One row for every adapter of a run; of one that cannot be read, ``problem`` says why and its facts are None."""
    folder = open_run(path)
    rows = []
    for name, where in adapter_folders(folder).items():
        kind = "server" if folder.server in where.parents else where.name
        row = {"name": name, "kind": kind, **dict.fromkeys(_FACTS), "folder": str(where), "problem": None}
        try:
            adapter = read_peft(where)
            num_bytes = (where / "adapter_model.safetensors").stat().st_size
            facts = (adapter.layout.size, num_bytes, adapter.layout.backbone, adapter.digest)
            row |= dict(zip(_FACTS, facts, strict=True))
        except UserError as error:
            row["problem"] = str(error)
        rows.append(row)
    return rows


_FACTS = ("parameters", "bytes", "backbone", "digest")


@dataclass(frozen=True)
class Ready:
    """A bank with what was asked for.

    Attributes:
        bank: over the run's backbone.
        mix: adapters with their weights.
        notes: which backbone and adapters these are, for a file; ``coterie:chosen`` says what the prompt picked, where
            nothing was named.
        recipe: of the run.
    """

    bank: Bank
    mix: tuple[tuple[Adapter, float], ...]
    notes: dict[str, str]
    recipe: Recipe


def makes_texts(path: Path) -> bool:
    """Whether a run's backbone makes texts."""
    return makes(read_recipe(open_run(path).server / "recipe.toml").backbone) == "texts"


def ready(path: Path, wanted: Wanted) -> Ready:
    """The run's backbone in a bank, and the adapters that were named or picked.

    Raises:
        UserError: if the prompt is empty, the run has no such adapter, the mix cannot be read, an adapter is of
            another backbone, or the prompt is to pick and the run is not finished.
    """
    from coterie.bank.bank import MOST_ROWS
    from coterie.bank.whole import bank_for
    from coterie.runs.build import load_backbone

    folder = open_run(path)
    recipe = read_recipe(folder.server / "recipe.toml")
    if not wanted.prompt.strip():
        raise UserError("--prompt: it is empty; wanted what to draw, like --prompt 'a red cup', or how a text begins")
    names = _names(wanted)
    picks = not names and not wanted.bare
    if picks:
        folder.results()  # what a prompt picks from is known when the run is over
    backbone = load_backbone(recipe)
    chosen = choose(wanted.prompt, folder, recipe, backbone) if picks else None
    names = list(chosen.mix) if chosen else names
    mix = tuple((adapter_of(folder, name, backbone.digest), weight) for name, weight in names)
    made_by = ", ".join(f"{adapter.digest} x {weight:g}" for adapter, weight in mix) or "none"
    layout = recipe.method.layout(backbone)
    if any(adapter.layout != layout for adapter, _ in mix):  # an imported one has layers and ranks of its own
        layers, adapters = adaptable(backbone.network), [adapter for adapter, _ in mix]
        mix = tuple((aligned(adapter, adapters, layers), weight) for adapter, weight in mix)
        layout = at_rank(mix[0][0].layout, max(largest_rank(adapter) for adapter, _ in mix))
    bank = bank_for(backbone, layout, 1, rows=recipe.engine.rows or MOST_ROWS)
    notes = {
        "coterie:backbone": backbone.digest,
        "coterie:adapters": made_by,
        **({"coterie:way": wanted.way} if len(mix) > 1 else {}),
        **({"coterie:chosen": chosen.said} if chosen else {}),
        **({"coterie:prompt": wanted.prompt} if wanted.note_prompt else {}),
    }
    return Ready(bank, mix, notes, recipe)


def pictures(path: Path, wanted: Wanted, progress: Steps = unheard) -> tuple[NDArray[np.uint8], dict[str, str]]:
    """``n`` pictures ``(n, height, width, 3)``, and what a file should say of them, see ``Ready``.

    ``progress`` is called with denoising steps done and in all.

    Raises:
        UserError: see ``ready``, or if the run's backbone makes texts or cannot draw pictures of that size.
    """
    from coterie.bank.denoise import Request, sample

    if makes_texts(path):
        raise UserError(f"{path}: its backbone makes texts, not pictures; from Python: Run.write")
    got = ready(path, wanted)
    if wanted.size is not None:
        drawer = cast(Draws, got.bank.backbone)
        require_size(wanted.size, drawer.side, drawer.multiple, "--size")
    requests = [
        Request(wanted.prompt, got.mix, wanted.seed + i, wanted.steps, wanted.guidance, wanted.way)
        for i in range(wanted.n)
    ]
    notes = {**got.notes, "coterie:steps": str(wanted.steps), "coterie:guidance": f"{wanted.guidance:g}"}
    return sample(got.bank, requests, progress=progress, size=wanted.size), notes


def texts(
    path: Path, wanted: Wanted, changes: Mapping[str, Any], hear: Callable[[int, str], None]
) -> tuple[list[str], dict[str, str]]:
    """How the prompt goes on, ``n`` times, one after another, and what made it, see ``Ready``.

    Args:
        path: of the run.
        wanted: what is asked for.
        changes: of the recipe's ``texts``: ``tokens``, ``temperature``, ``top_p``; None leaves one as it is.
        hear: told a text's number and each piece of it as soon as it is there.

    Raises:
        UserError: see ``ready``, or if the run's backbone makes pictures, a number is out of range, or a mix is asked
            for in a way that only pictures know.
    """
    from coterie.bank.write import Asked, Writing, write

    if not makes_texts(path):
        raise UserError(f"{path}: its backbone makes pictures, not texts; from Python: Run.generate")
    if wanted.way != "merge":
        raise UserError(f"--way {wanted.way}: is a way to draw in steps; adapters that write are merged")
    got = ready(path, wanted)
    given = {key: value for key, value in changes.items() if value is not None}
    writing = Writing(**validated(Texts, {**got.recipe.texts.model_dump(), **given}, "texts").model_dump())
    found = []
    for i in range(wanted.n):  # by itself, so that it streams and does not depend on how many were asked for

        def told(_: int, piece: str, i: int = i) -> None:
            hear(i, piece)

        found += write(got.bank, [Asked(wanted.prompt, got.mix, wanted.seed + i)], writing, 1, told)
    return found, {**got.notes, **{f"coterie:{key}": f"{value:g}" for key, value in asdict(writing).items()}}


def draw(path: Path, wanted: Wanted, out: Path | None = None, progress: Steps = unheard) -> tuple[Path, str]:
    """Writes ``n`` PNG files and a contact sheet; returns the sheet and, if nothing was named, what the prompt picked.

    Without ``out``, into a new folder below ``generated/`` that is named after what drew.

    Every file says which backbone and adapters made it, with seed, steps and guidance; the prompt only if asked.

    Raises:
        UserError: see ``pictures``.
    """
    drawn, notes = pictures(path, wanted, progress)
    unnamed = "mix" if wanted.mix else "base" if notes["coterie:adapters"] == "none" else "routed"
    out = out or new_folder(path / "generated", wanted.client or wanted.cluster or unnamed)
    for i, picture in enumerate(drawn):
        seed = wanted.seed + i
        write_bytes(out / f"seed-{seed:04d}.png", png_bytes(picture, {**notes, "coterie:seed": str(seed)}))
    rows = [list(drawn[i : i + 8]) for i in range(0, len(drawn), 8)]
    write_bytes(out / "sheet.png", png_bytes(sheet(rows), notes))
    return out / "sheet.png", notes.get("coterie:chosen", "")


def way_named(name: str) -> Way:
    """How a mix draws, from what somebody typed."""
    for way in WAYS:
        if way == name:
            return way
    raise UserError(f"--way {name}: no such way{nearest(name, WAYS)}; there are {', '.join(WAYS)}")


def _names(wanted: Wanted) -> list[tuple[str, float]]:
    given = [x for x in (wanted.client, wanted.cluster, wanted.mix) if x is not None]
    if len(given) + wanted.bare > 1:
        raise UserError("give only one of --client, --cluster, --mix and --bare")
    if wanted.way != "merge" and wanted.mix is None:
        raise UserError(
            f"--way {wanted.way} is for several adapters; give them with --mix, like cluster-0=1,cluster-2=1"
        )
    if wanted.mix is None:
        return [(name, 1.0) for name in given]
    pairs = []
    for item in wanted.mix.split(","):
        name, _, weight = item.partition("=")
        try:
            pairs.append((name.strip(), float(weight)))
        except ValueError as error:
            raise UserError(f"--mix {wanted.mix}: {item!r} is no name=weight, like cluster-0=0.6") from error
        if not abs(pairs[-1][1]) <= LARGEST_WEIGHT:
            raise UserError(f"--mix {wanted.mix}: {item!r}: a weight is between -{LARGEST_WEIGHT} and {LARGEST_WEIGHT}")
    if wanted.way != "merge" and not all(weight > 0 for _, weight in pairs):
        raise UserError(f"--mix {wanted.mix}: with --way {wanted.way} a weight is a share, so more than 0")
    if len({name for name, _ in pairs}) < len(pairs):
        raise UserError(f"--mix {wanted.mix}: give every name once")
    return pairs


def adapter_of(folder: RunFolder, name: str, backbone: str | None = None) -> Adapter:
    """An adapter of a run by the name that ``coterie adapters`` lists, of a backbone if one is given.

    Raises:
        UserError: if the run has no such adapter, or it is of another backbone.
    """
    found = adapter_folders(folder)
    if name not in found:
        if not found:
            raise UserError(
                f"{folder.path}: this run has no adapters yet; finish it with: coterie run --resume {folder.path}"
            )
        raise UserError(f"{folder.path}: no adapter is called {name!r}{nearest(name, found)}")
    return read_peft(found[name], backbone)
