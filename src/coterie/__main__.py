"""The command ``coterie``, and ``python -m coterie``."""

from __future__ import annotations

import os
import sys
from typing import Any


def main() -> None:
    """Runs a command; a user's mistake is one clear line and exit code 2."""
    # Spinning threads starve each other on few cores; read before torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
    import typer

    from coterie.cli.app import app
    from coterie.core.errors import UserError

    wrong_words: Any = typer.BadParameter.__bases__[0]  # typer has no public name for what all wrong options raise
    try:
        code = app(prog_name="coterie", standalone_mode=False)
        if code:
            sys.exit(code)
    except wrong_words as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # this one typer does not export either; it holds the help
            error.show()
        else:
            where = error.ctx.command_path if error.ctx else "coterie"
            said = " ".join(error.format_message().split()).rstrip(".").replace(". Did", "; did")
            see = f"{'' if said.endswith('?') else ';'} see: {where} --help"
            print(f"error: {said[:1].lower()}{said[1:]}{see}", file=sys.stderr)
        sys.exit(2)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
