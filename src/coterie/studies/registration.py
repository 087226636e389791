"""What was claimed before the first run: hypotheses and criteria, the digest of the whole study, the date.

The registration is written once into a study's folder and never changed. Results carry its digest; where the study, its
people or its data are other ones by now, verdicts are withheld.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import coterie
from coterie.core.errors import UserError
from coterie.data.sources.people import People
from coterie.engines.disk import write_bytes
from coterie.studies.recipe import BASE, Chosen

FILE = "registration.json"


def digest_of(chosen: Chosen) -> str:
    """Twelve hexadecimal digits of all that decides the study's numbers at its setting, people and data included."""
    study = chosen.study
    plain = study.model_dump(mode="json", exclude={"settings"})
    told = {"study": plain, "setting": [chosen.name, chosen.setting.model_dump(mode="json")], "data": inputs(chosen)}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:12]


def code_digest() -> str:
    """Twelve hexadecimal digits of the package's own code, but for the pages and commands that no number depends on."""
    root = Path(coterie.__file__).parent
    files = sorted(path for path in root.rglob("*.py") if path.relative_to(root).parts[0] not in ("cli", "report"))
    found = hashlib.sha256()
    for path in files:
        found.update(f"{path.relative_to(root).as_posix()}\n".encode() + path.read_bytes())
    return found.hexdigest()[:12]


def inputs(chosen: Chosen) -> dict[str, str]:
    """Digest by name of each file that the study reads."""
    source = people_of(chosen)
    sets, people, _ = source.described()
    used = {sets[name].path for person in people.values() for name in person.sets}
    paths = {Path(source.file).name: Path(source.file)}
    paths |= {name: chosen.data / name for name in sorted(used | set(chosen.study.judging.public))}
    found = {}
    for name, path in paths.items():
        if not path.is_file():
            raise UserError(f"{path}: no such file; say where the data lies with --data DIR")
        found[name] = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    return found


def people_of(chosen: Chosen) -> People:
    """The source of a study's pictures.

    Raises:
        UserError: if it is another one.
    """
    source = chosen.recipe(chosen.arm(BASE), 0).data.source
    if not isinstance(source, People):
        raise UserError(f"{chosen.path}: common.data.source: a study's pictures are those of the source 'people'")
    return source


def register(chosen: Chosen, out: Path, today: str = "") -> dict[str, Any]:
    """The registration of a study's folder, written now if there is none yet."""
    path = out / FILE
    if path.is_file():
        return dict(json.loads(path.read_text(encoding="utf-8")))
    found: dict[str, Any] = {
        "study": chosen.study.name,
        "setting": chosen.name,
        "date": today or datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "digest": digest_of(chosen),
        "inputs": inputs(chosen),
        "hypotheses": [h.model_dump(mode="json") for h in chosen.study.hypotheses],
    }
    write_bytes(path, (json.dumps(found, indent=1) + "\n").encode())
    return found


def changed(chosen: Chosen, registered: dict[str, Any]) -> str:
    """Why verdicts must be withheld, in one line; empty if the study is still the registered one."""
    now = digest_of(chosen)
    if now == registered["digest"]:
        return ""
    date, before = registered["date"], registered["digest"]
    return f"the study has changed since it was registered on {date} (digest {before}, now {now})"
