"""``coterie pretrain`` on books: its budget, its line on the terminal, and Ctrl-C."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from coterie.cli.pretraining_progress import pretraining_listener
from coterie.core.errors import Interrupted


def pretrain_on_books(
    out: Path, books: list[Path], tokens: int, device: str, seed: int, leave_out: Sequence[str] | None
) -> None:
    """Trains, and says where the model is; the first Ctrl-C lets the step end and saves."""
    from coterie.pretraining.folder import seen_before
    from coterie.pretraining.language import LanguagePretraining, pretrain_language

    asked: list[int] = []

    def ask(number: int, frame: Any) -> None:
        asked.append(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, ask)
    try:
        with pretraining_listener(tokens, "tokens") as heard:
            settings = LanguagePretraining(tokens=tokens, device=device, seed=seed)
            left_out = None if leave_out is None else tuple(name for name in leave_out if name)
            pretrain_language(out, books, settings, heard.tell, heard.progress, left_out, lambda: bool(asked))
    except KeyboardInterrupt as stop:
        seen = seen_before(out)
        saved = f"{seen:,} tokens are saved in {out}, go on" if seen else "nothing was learned yet, begin again"
        raise Interrupted(f"stopped; {saved} with the same command") from stop
    finally:
        signal.signal(signal.SIGINT, before)
    typer.echo(f"{seen_before(out):,} tokens seen; the model, for backbone.path: {out}")
