"""Runs from Python: ``coterie.run`` and ``coterie.Run`` call what the commands call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coterie.core.adapter import Adapter
from coterie.core.progress import Progress
from coterie.runs.folder import open_run, place_for
from coterie.runs.loop import Tell
from coterie.runs.plain import as_plain
from coterie.runs.reading import read_recipe, with_sets
from coterie.runs.recipe import Recipe
from coterie.runs.run import resume, start

if TYPE_CHECKING:
    from PIL.Image import Image

    from coterie.runs.verify import Check


@dataclass(frozen=True)
class Run:
    """A run on disk; ``Run.open`` makes one of a folder.

    Attributes:
        path: its folder.
    """

    path: Path

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """A run that there is.

        Raises:
            UserError: if the folder is not one.
        """
        return cls(open_run(Path(path)).path)

    @property
    def recipe(self) -> Recipe:
        """As it was resolved: nothing left to chance or to the machine."""
        return read_recipe(open_run(self.path).server / "recipe.toml")

    @property
    def finished(self) -> bool:
        return open_run(self.path).read_json("results.json") is not None

    @property
    def results(self) -> dict[str, Any]:
        """Every number, as ``server/results.json`` has it.

        Raises:
            UserError: if the run is not finished.
        """
        return open_run(self.path).results()

    def details(self) -> dict[str, Any]:
        """What ``coterie show`` says: ``facts``, and a row for each of the ``people``."""
        from coterie.runs.show import details

        return details(self.path)

    def resume(self, tell: Tell | None = None, progress: Progress | None = None) -> Run:
        """Plays what is left, as ``coterie run --resume``; a finished run is left as it is."""
        resume(self.path, tell, progress)
        self.report()
        return self

    @property
    def adapters(self) -> tuple[str, ...]:
        """Names: the server's own, then one for each person."""
        from coterie.runs.generate import adapter_folders

        return tuple(adapter_folders(open_run(self.path)))

    def adapter(self, name: str) -> Adapter:
        """An adapter of the run by its name.

        Raises:
            UserError: if there is none of that name.
        """
        from coterie.runs.generate import adapter_of

        return adapter_of(open_run(self.path), name)

    def generate(
        self,
        prompt: str,
        client: str | None = None,
        cluster: str | None = None,
        mix: str | Mapping[str, float] | None = None,
        way: str = "merge",
        seed: int = 0,
        n: int = 1,
        steps: int = 24,
        guidance: float = 3.0,
        bare: bool = False,
        size: tuple[int, int] | None = None,
    ) -> list[Image]:
        """Draws as ``coterie generate``, into memory; without a choice, with the adapters that the prompt picks.

        What it picked is in each picture's ``info["coterie:chosen"]``, beside the other notes of a file.

        Args:
            prompt: what to draw.
            client: draw with what this person keeps.
            cluster: draw with an adapter of the server, like ``cluster-0``.
            mix: draw with a mix, like ``{"cluster-0": 0.6, "cluster-2": 0.4}``.
            way: how a mix draws: ``merge``, ``composite``, ``switch`` or ``schedule``.
            seed: of the first picture; the next ones count up.
            n: pictures.
            steps: of denoising.
            guidance: how strictly to follow the prompt.
            bare: draw with the bare backbone.
            size: width and height in pixels; None is the model's square.

        Raises:
            UserError: if more than one choice is given, the run has no such adapter, or the model cannot draw pictures
                of that size.
        """
        from PIL import Image

        from coterie.runs.generate import Wanted, pictures, way_named

        if isinstance(mix, Mapping):
            mix = ",".join(f"{name}={weight!r}" for name, weight in mix.items())
        wanted = Wanted(
            prompt, client, cluster, mix, seed, n, steps, guidance, way_named(way), bare=bare, size=size and size[::-1]
        )  # fmt: skip
        drawn, notes = pictures(self.path, wanted)
        made = [Image.fromarray(picture) for picture in drawn]
        for i, image in enumerate(made):
            image.info.update(notes, **{"coterie:seed": str(seed + i)})
        return made

    def write(
        self,
        prompt: str,
        client: str | None = None,
        cluster: str | None = None,
        mix: str | Mapping[str, float] | None = None,
        seed: int = 0,
        n: int = 1,
        tokens: int | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        bare: bool = False,
        hear: Callable[[int, str], None] = lambda number, piece: None,
    ) -> list[str]:
        """How a prompt goes on, as ``coterie generate`` of a run whose backbone makes texts.

        Args:
            prompt: how the text begins; it is not repeated.
            client: write with what this person keeps.
            cluster: write with an adapter of the server, like ``cluster-0``.
            mix: write with a mix, like ``{"cluster-0": 0.6, "cluster-2": 0.4}``.
            seed: of the first text; the next ones count up.
            n: texts.
            tokens: at most, of each; otherwise the recipe's.
            temperature: 0 takes the likeliest token; otherwise the recipe's.
            top_p: share of the likeliest tokens that are drawn from; otherwise the recipe's.
            bare: write with the bare backbone.
            hear: told a text's number and each piece of it as soon as it is there.

        Raises:
            UserError: if more than one choice is given, the run has no such adapter, or its backbone makes pictures.
        """
        from coterie.runs.generate import Wanted, texts

        if isinstance(mix, Mapping):
            mix = ",".join(f"{name}={weight!r}" for name, weight in mix.items())
        wanted = Wanted(prompt, client, cluster, mix, seed, n, bare=bare)
        found, _ = texts(self.path, wanted, {"tokens": tokens, "temperature": temperature, "top_p": top_p}, hear)
        return found

    def routing(self) -> dict[str, Any]:
        """What ``coterie audit routing`` measures: how well prompts pick adapters, where the true groups are known."""
        from coterie.runs.audit_routing import audit_routing

        return audit_routing(self.path)

    def export(self, name: str, out: str | Path, layout: str = "peft") -> list[Path]:
        """Writes an adapter as other programs read it: ``peft``, ``diffusers``, ``kohya`` or ``comfy``."""
        from coterie.runs.exchange import export_adapter

        return export_adapter(self.path, name, layout, Path(out))

    def verify(self, name: str) -> list[Check]:
        """Whether an adapter, its files in every layout and its merged weights do the same: one check a way."""
        from coterie.runs.verify import verify

        _, checks = verify(self.path, name)
        return checks

    def report(self) -> Path:
        """Writes the report again; returns the page."""
        from coterie.report import make_report

        return make_report(open_run(self.path).path)


def run(
    recipe: str | Path | Recipe | Mapping[str, Any] | None = None,
    out: str | Path | None = None,
    sets: Iterable[str] = (),
    tell: Tell | None = None,
    progress: Progress | None = None,
) -> Run:
    """Trains everybody's adapters, draws, and writes the report, as ``coterie run``.

    Args:
        recipe: a TOML file, the same as a mapping, a recipe that was read, or None for the quick start. Relative paths
            in a file are seen from that file, all others from the working directory.
        out: folder of the run; otherwise a new one below ``runs/``.
        sets: keys that are changed, like ``["rounds=2", "form.name=fedavg"]``.
        tell: called with every event's name and fields.
        progress: called with a kind of work, steps done and steps in all.

    In a script with worker processes, call it below ``if __name__ == "__main__":``; a notebook needs no such line.

    Raises:
        UserError: for anything that a user can put right.
    """
    read = recipe_from(recipe, sets)
    path = place_for(read.name, Path(out) if out is not None else None)
    start(read, path, tell, progress, where=str(recipe) if isinstance(recipe, (str, Path)) else "recipe")
    made = Run.open(path)
    made.report()
    return made


def recipe_from(recipe: str | Path | Recipe | Mapping[str, Any] | None, sets: Iterable[str] = ()) -> Recipe:
    """A recipe from any of the ways to give one, with ``a.b=c`` settings laid over it."""
    sets = (sets,) if isinstance(sets, str) else tuple(sets)
    if recipe is None or isinstance(recipe, (str, Path)):
        return read_recipe(Path(recipe) if recipe is not None else None, sets)
    if isinstance(recipe, Recipe) and not sets:
        return recipe
    return with_sets(as_plain(recipe), "recipe", sets)
