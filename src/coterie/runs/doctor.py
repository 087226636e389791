"""What ``coterie doctor`` looks at before a run: packages, machine, room, backbone and a recipe's pictures."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import cast

from coterie.core.errors import UserError
from coterie.core.shelf import shelf_name
from coterie.models.backbone import Draws, Writes
from coterie.models.packed import KINDS
from coterie.runs.recipe import Recipe

ROOM_BYTES = 500 * 10**6  # several times what a run of twelve people leaves
PYTHON = (3, 11)


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; ``fix`` is a command or a setting, where something is wrong."""

    what: str
    value: str
    passed: bool = True
    fix: str = ""


def examine(recipe: Recipe, root: Path = Path("runs")) -> list[Finding]:
    """All findings, those of the machine first.

    Args:
        recipe: as read.
        root: where runs are made.
    """
    wanted = {shelf_name(sink) for sink in recipe.sinks}
    if getattr(recipe.backbone, "quantise", "none") in KINDS or recipe.engine.moments == "8bit":
        wanted.add("quantise")
    findings = [python(), *packages(requires("coterie") or (), wanted), disk(root), cores()]
    return [*findings, memory(recipe), graphics(), *_played(recipe)]


def python() -> Finding:
    """The interpreter."""
    floor = ".".join(map(str, PYTHON))
    good = tuple(map(int, platform.python_version_tuple()[:2])) >= PYTHON
    fix = f"install Python {floor} or later and make a new environment with it"
    return Finding("python", f"{platform.python_version()} (at least {floor})", good, fix)


def packages(
    required: Iterable[str], wanted: Iterable[str] = (), installed: Callable[[str], str] = version
) -> list[Finding]:
    """Versions against what the package's metadata asks for; an absent extra is no fault unless it is wanted.

    Args:
        required: requirements as the metadata writes them, like ``torch>=2.6`` or ``mlflow>=3.0; extra == "mlflow"``.
        wanted: names of extras that a recipe uses.
        installed: the version of a distribution.

    Raises:
        packaging.requirements.InvalidRequirement: if a requirement cannot be read.
    """
    from packaging.requirements import Requirement

    found = []
    for requirement in map(Requirement, required):
        extra = _extra(str(requirement.marker or ""))
        if not extra and requirement.marker and not requirement.marker.evaluate():
            continue
        name = f"extra {extra}" if extra else requirement.name
        command = (
            f'pip install "coterie[{extra}]"' if extra else f'pip install "{requirement.name}{requirement.specifier}"'
        )
        try:
            have = installed(requirement.name)
        except PackageNotFoundError:
            absent = "absent" if not extra or extra in set(wanted) else f"absent, add it with: {command}"
            found.append(Finding(name, absent, bool(extra) and extra not in set(wanted), command))
            continue
        good = requirement.specifier.contains(have, prereleases=True)
        found.append(Finding(name, f"{have} (wanted {requirement.specifier or 'any'})", good, command))
    return found


def disk(root: Path) -> Finding:
    """Room where runs are made, and whether files can be made there."""
    there = root.absolute()
    while not there.exists():
        there = there.parent
    if not os.access(there, os.W_OK):
        return Finding("disk", f"{root} cannot be written", False, "coterie run --out DIR, with a folder that can")
    free = shutil.disk_usage(there).free
    fix = "free some space, or choose another disk with: coterie run --out DIR"
    return Finding("disk", f"{free / 1e9:.1f} GB free at {root}", free >= ROOM_BYTES, fix)


def cores() -> Finding:
    """Processor cores that this process may use; every worker takes one thread."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Finding("cores", f"{usable} usable of {os.cpu_count()}; every worker takes one thread")


def memory(recipe: Recipe, available: int | None = None) -> Finding:
    """Memory that is free now against ``engine.memory``."""
    from coterie.runs.sizes import memory_bytes

    free, asked = free_bytes() if available is None else available, memory_bytes(recipe.engine.memory)
    fix = f"--set engine.memory={max(1, free // 10**8 - 2) * 100}MB, or end other programs"
    return Finding("memory", f"{free / 1e9:.1f} GB free, engine.memory is {recipe.engine.memory}", asked <= free, fix)


def free_bytes() -> int:
    """Memory that can be had without swapping; all of it where the system does not say."""
    try:
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def graphics() -> Finding:
    """Graphics cards; pipelines and ``coterie pretrain --device cuda`` use them, embedded backbones do not."""
    import torch

    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return Finding("graphics cards", f"{', '.join(names) or 'none; runs use the processor'}")


def _played(recipe: Recipe) -> list[Finding]:
    """What a run would begin with: the backbone, the people, and the numbers that are chosen by the machine."""
    from coterie.runs.build import load_backbone
    from coterie.runs.people import cut_of, population_of
    from coterie.runs.resolve import resolve
    from coterie.runs.run import require_startable

    name = shelf_name(recipe.backbone)
    given = recipe.model_copy(update={"engine": recipe.engine.model_copy(update={"width": recipe.engine.width or 1})})
    try:
        backbone = load_backbone(resolve(given, 1)[0])
    except Exception as error:  # whatever a backbone's library raises is a finding
        return [Finding("backbone", f"{name}: {_line(error)}", False, "--set backbone.name=doodle")]
    texts = backbone.makes == "texts"
    size = (
        f"{cast(Writes, backbone).context} tokens an example"
        if texts
        else f"{cast(Draws, backbone).side} pixels a side"
    )
    value = f"{name} {backbone.digest}, {backbone.num_parameters:,} numbers, {size}"
    findings = [Finding("backbone", value)]
    try:
        table = recipe.data.source.read(cut_of(recipe, backbone))
        people, skipped = population_of(recipe, cut_of(recipe, backbone), table), table.skipped
    except Exception as error:  # and so is whatever reading somebody's files raises
        path = getattr(recipe.data.source, "path", None)
        return [*findings, Finding("data", _line(error), False, f"coterie data check {path}" if path else "")]
    clients = people.clients.values()
    train, held_out = (sum(len(getattr(client, part)) for client in clients) for part in ("train", "held_out"))
    what = "documents" if texts else "pictures"
    value = f"{len(clients)} people, {train} {what} to train on, {held_out} held out, {len(skipped)} skipped"
    findings.append(Finding("data", value))
    try:
        require_startable(recipe, people)
    except UserError as error:
        key = "control." if str(error).startswith("control") else ""
        fix = f"--set {key}form.grouping.name=weights or --set {key}form.name=local" if "wish" in str(error) else ""
        return [*findings, Finding("control" if key else "form", _line(error), False, fix)]
    try:
        engine = resolve(recipe, len(clients))[0].engine
    except UserError as error:
        return [*findings, Finding("engine", _line(error), False, "--set engine.memory=SIZE or --set engine.workers=0")]
    where = f"{engine.workers} workers" if engine.workers else "one process"
    return [
        *findings,
        Finding("engine", f"{engine.device} in {engine.dtype}, {where}, {engine.width} people in one pass"),
    ]


def _extra(marker: str) -> str:
    """The extra that a requirement's marker asks for, or nothing.

    >>> _extra('extra == "mlflow"')
    'mlflow'
    """
    _, found, rest = marker.partition("extra ==")
    return rest.strip(" \"')") if found else ""


def _line(error: Exception) -> str:
    first: Sequence[str] = str(error).strip().splitlines() or [type(error).__name__]
    return first[0] if isinstance(error, UserError) else f"{type(error).__name__}: {first[0]}"
