"""The report of a run."""

from pathlib import Path


def make_report(run: Path, study: Path | None = None) -> Path:
    return run / "server" / "report.html"
