"""The command ``coterie``, and ``python -m coterie``."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Runs a command; a user's mistake is one clear line and exit code 2."""
    # Spinning threads starve each other on few cores; read before torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
    from coterie.cli.app import app
    from coterie.core.errors import UserError

    try:
        app()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
