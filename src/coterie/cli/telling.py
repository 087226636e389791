"""Texts on the terminal, word by word as they are written."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from coterie.runs.generate import Wanted, texts


def tell_texts(run: Path, wanted: Wanted, changes: Mapping[str, Any], out: Path | None) -> None:
    """Prints each text after its prompt, and writes them into a folder if one is given.

    Args:
        run: folder of the run.
        wanted: what is asked for.
        changes: see ``coterie.runs.generate.texts``.
        out: gets a file ``seed-NNNN.txt`` for every text.
    """
    begun = -1

    def hear(number: int, piece: str) -> None:
        nonlocal begun
        if number != begun:
            print("" if begun < 0 else "\n\n", shown(wanted.prompt), sep="", end="")
            begun = number
        print(shown(piece), end="", flush=True)

    found, notes = texts(run, wanted, changes, hear)
    print(flush=True)
    if chosen := notes.get("coterie:chosen"):
        print(chosen, file=sys.stderr)
    if out is not None:
        from coterie.engines.disk import write_bytes

        for i, text in enumerate(found):
            write_bytes(out / f"seed-{wanted.seed + i:04d}.txt", f"{wanted.prompt}{text}\n".encode())
        print(out, file=sys.stderr)


def shown(text: str) -> str:
    """A text without what a terminal would obey: models may write any byte."""
    return "".join(letter if letter.isprintable() or letter in "\n\t" else "\ufffd" for letter in text)
