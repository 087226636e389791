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
from coterie.engines.disk import write_bytes
from coterie.studies.cast import inputs
from coterie.studies.chosen import Chosen
from coterie.studies.recipe import LATER

FILE = "registration.json"


def digest_of(chosen: Chosen) -> str:
    """Twelve hexadecimal digits of all that decides the study's numbers at its setting, people and data included."""
    plain = _as_registered(chosen.study.model_dump(mode="json", exclude={"settings"}))
    told = {"study": plain, "setting": [chosen.name, chosen.setting.model_dump(mode="json")], "data": inputs(chosen)}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:12]


def _as_registered(plain: Any) -> Any:
    """Without keys that came later and say nothing, so that what was registered before them stays registered."""
    if isinstance(plain, dict):
        unused = {key for key, usual in LATER.items() if key in plain and plain[key] in (usual, list(usual or ()))}
        return {key: _as_registered(value) for key, value in plain.items() if key not in unused}
    return [_as_registered(one) for one in plain] if isinstance(plain, list) else plain


def code_digest() -> str:
    """Twelve hexadecimal digits of the package's own code, but for the pages and commands that no number depends on."""
    root = Path(coterie.__file__).parent
    files = sorted(path for path in root.rglob("*.py") if path.relative_to(root).parts[0] not in ("cli", "report"))
    found = hashlib.sha256()
    for path in files:
        found.update(f"{path.relative_to(root).as_posix()}\n".encode() + path.read_bytes())
    return found.hexdigest()[:12]


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
