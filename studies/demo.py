"""The demo study: eleven ways to teach twelve people's styles, three seeds, verdicts on what was claimed beforehand.

    python studies/demo.py [--out runs/demo-study]

Everything that was fixed before the first run is in ``arms.py`` and ``docs/results/preregistration.md``. A study that
was stopped goes on where it was. Results go to ``docs/results/`` and, as one JSON file, into the package, whose reports
show them beside a run. Under ninety minutes on two idle cores.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from judging import results_of
from playing import play_all, tune_all
from rich.console import Console
from writing import plots, sheet_of_pictures, text

from coterie.engines.disk import write_bytes

HERE = Path(__file__).resolve().parent.parent
SHOWN = HERE / "src" / "coterie" / "report" / "studies" / "demo.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/demo-study"), help="folder of the study's runs")
    parser.add_argument("--results", type=Path, default=HERE / "docs" / "results", help="folder of text and plots")
    options = parser.parse_args()
    console, began = Console(), time.monotonic()

    def say(line: str) -> None:
        minutes = (time.monotonic() - began) / 60
        console.print(f"{minutes:5.1f} min  {line}", highlight=False)

    rates = tune_all(options.out, say)
    play_all(options.out, rates, say)
    say("judging")
    results = results_of(options.out, rates)
    write_bytes(SHOWN, (json.dumps(results, indent=1) + "\n").encode())
    write_bytes(options.results / "demo.md", text(results).encode())
    plots(results, options.results)
    sheet_of_pictures(options.out, options.results / "demo-pictures.png")
    say(f"results: {options.results / 'demo.md'}")


if __name__ == "__main__":
    main()
