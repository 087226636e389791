"""A site's versioned memory: files that survive the server, and answers that never came to be accepted never were.

Every request names the version that the server accepted last from this client. The site starts from that version and
drops all others, so neither an aborted attempt nor a late reply leaves a trace.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from coterie.core.errors import UserError
from coterie.engines.disk import write_bytes
from coterie.wire.envelope import Header, pack, unpack

_NAME = re.compile(r"round-(\d+)-attempt-(\d+)\.safetensors")


def version_of(round: int, attempt: int) -> str:
    """How a version is named in messages: ``round.attempt``."""
    return f"{round}.{attempt}"


class SiteMemory:
    """The memory files of one client in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def open(self, accepted: str, current: str = "") -> dict[str, Any]:
        """The tree to start from; versions other than ``accepted`` and the running attempt's are removed.

        Args:
            accepted: version the server accepted last; empty for none.
            current: version of the running attempt, whose own earlier calls are continued.

        Raises:
            UserError: if the accepted version is not there: the folder was changed by someone else.
        """
        found = self._versions()
        for version, path in found.items():
            if version not in (accepted, current):
                path.unlink()
        return self.read(current if current in found else accepted)

    def read(self, version: str) -> dict[str, Any]:
        """The tree of one version; nothing is removed, for the server may not yet have saved what it accepted."""
        if not version:
            return {}
        found = self._versions()
        if version not in found:
            raise UserError(f"{self.folder}: the memory of round {version} is missing; it was accepted by the server")
        return dict(unpack(found[version].read_bytes())[1])

    def save(self, round: int, attempt: int, tree: dict[str, Any]) -> None:
        """Writes the tree as this attempt's version, atomically."""
        path = self.folder / f"round-{round:04d}-attempt-{attempt:03d}.safetensors"
        write_bytes(path, pack(Header(round=round, attempt=attempt), tree, standalone=True))

    def _versions(self) -> dict[str, Path]:
        if not self.folder.is_dir():
            return {}
        matches = ((_NAME.fullmatch(path.name), path) for path in sorted(self.folder.iterdir()))
        return {version_of(int(m[1]), int(m[2])): path for m, path in matches if m}
