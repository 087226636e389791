"""The study that the package has of a run's people, and how one is read for the page."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

from coterie.core.errors import UserError
from coterie.report.read import Arm


def committed_study(arm: Arm) -> Path | None:
    """The package's study of the people of a run."""
    path = Path(str(files("coterie.report"))) / "studies" / "demo.json"
    studio = arm.table("data").get("source", {}).get("name") == "studio"
    return path if studio and path.is_file() else None


def read_study(path: Path) -> dict[str, Any]:
    """A study's arms and hypotheses, as ``studies/demo.py`` writes them, with where each bar of the plot ends.

    Raises:
        UserError: if the file cannot be read or has no arms.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        arms = [
            {
                "arm": str(k["name"]), "mean": float(k["mean"]), "worst": float(k["worst"]), "seeds": len(k["seeds"]),
                "low": min(map(float, k["per_seed"])), "high": max(map(float, k["per_seed"])),
            }
            for k in found["arms"]
        ]  # fmt: skip
        verdicts = [
            {
                "claim": str(h["claim"]), "better": str(h["better"]), "other": str(h["other"]),
                "measure": str(h["measure"]), "mean": float(h["mean"]), "supported": bool(h["supported"]),
                "low": min(map(float, h["per_seed"])), "high": max(map(float, h["per_seed"])),
            }
            for h in found.get("hypotheses", [])
        ]  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: the study cannot be read: {type(error).__name__}: {error}") from error
    if not arms:
        raise UserError(f"{path}: no arms; wanted what studies/demo.py writes")
    longest = max([0.01, *(float(k["mean"]) for k in found["arms"])])
    return {"arms": arms, "verdicts": verdicts, "longest": longest}
