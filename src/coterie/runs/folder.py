"""The run folder and its two halves: ``server/`` holds nothing private, ``sites/CLIENT/`` what stays with a person.

Every file is written at once (temporary name, fsync, rename). A checkpoint carries a checksum; the newest good one is
used, so a kill or a full disk never costs finished work.

What reads and writes tensors is imported where it is needed, so that looking at a run need not wait for torch.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from coterie.core.errors import UserError
from coterie.engines.disk import append_line, explain, write_bytes

if TYPE_CHECKING:
    from coterie.core.adapter import Adapter, Layout
    from coterie.core.form import Form
    from coterie.engines.book import Book
    from coterie.wire.envelope import Header


class RunFolder:
    """One run on disk.

    Args:
        path: of the run.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.server = path / "server"
        self._lock: TextIO | None = None

    @property
    def exists(self) -> bool:
        return (self.server / "recipe.toml").is_file()

    def site(self, client: str) -> Path:
        return self.path / "sites" / client

    def lock(self) -> None:
        """Makes this process the only one that writes here.

        Raises:
            UserError: if another process runs it, or the folder cannot be written.
        """
        try:
            self.server.mkdir(parents=True, exist_ok=True)
            self._lock = open(self.server / ".lock", "w")  # noqa: SIM115 - held as long as the run
        except OSError as error:
            raise explain(error, self.path) from error
        if not _locked(self._lock, fcntl.LOCK_EX):
            time.sleep(0.1)  # somebody may only have looked whether it is running
            if not _locked(self._lock, fcntl.LOCK_EX):
                self.unlock()
                raise UserError(f"{self.path}: another process is running this; wait for it or choose --out DIR")

    def unlock(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    @property
    def running(self) -> bool:
        """Whether some process plays this run, or its control, right now; nothing is written to find out."""
        try:
            with open(self.server / ".lock") as lock:
                if not _locked(lock, fcntl.LOCK_SH):
                    return True
        except OSError:  # nobody ever played it here, or it is another's
            pass
        return (self.path / "control").is_dir() and RunFolder(self.path / "control").running

    def write(self, name: str, data: bytes | str) -> Path:
        """Writes a file of the server's half."""
        path = self.server / name
        write_bytes(path, data.encode() if isinstance(data, str) else data)
        return path

    def write_json(self, name: str, value: Any) -> Path:
        return self.write(name, json.dumps(value, indent=1, sort_keys=True))

    def read_json(self, name: str) -> Any:
        """A JSON file of the server's half, or None."""
        path = self.server / name
        try:
            return json.loads(path.read_text())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise UserError(f"{path}: cannot be read: {error}") from error

    def results(self) -> dict[str, Any]:
        """What ``results.json`` holds.

        Raises:
            UserError: if the run is not finished.
        """
        found: dict[str, Any] | None = self.read_json("results.json")
        if found is None:
            how = "it is running; wait for it" if self.running else f"go on with: coterie run --resume {self.path}"
            raise UserError(f"{self.path}: not finished; {how}")
        return found

    @property
    def has_finished_work(self) -> bool:
        """Whether there is anything that a run could go on from."""
        return bool(self._checkpoints()) or (self.server / "results.json").exists()

    def next_attempt(self, at_least: int) -> int:
        """A number that no attempt of this run ever had, written down before anything is sent under it."""
        counted = self.read_json("attempts.json") or {"started": 0}
        attempt = max(int(counted["started"]), at_least) + 1
        self.write_json("attempts.json", {"started": attempt})
        return attempt

    def save(self, state: Any, book: Book, header: Header) -> None:
        """A checkpoint of the form's state and the engine's book; the two newest are kept."""
        from coterie.wire.envelope import pack

        tree = {"state": state._asdict(), "book": book.as_plain()}
        self.write(f"checkpoints/round-{book.round:04d}.safetensors", pack(header, tree, standalone=True))
        for old in self._checkpoints()[2:]:
            old.unlink()

    def load(self, form: Form, header: Header, layouts: Iterable[Layout]) -> tuple[Any, Book, list[str]] | None:
        """The newest good checkpoint and what is wrong with newer ones, or None if there is none at all.

        Raises:
            UserError: if there are checkpoints and none can be read, or they belong to another recipe or backbone.
        """
        from coterie.engines.book import Book
        from coterie.wire.envelope import BadMessage, unpack

        broken: list[str] = []
        for path in self._checkpoints():
            try:
                found, tree = unpack(path.read_bytes(), layouts)
            except (BadMessage, OSError) as error:
                broken.append(f"{path.name}: {error}")
                continue
            for what in ("recipe", "backbone"):
                theirs, wanted = getattr(found, what), getattr(header, what)
                if theirs != wanted:
                    raise UserError(f"{path}: the checkpoint belongs to {what} {theirs}, here is {wanted}")
            return form.restore(tree["state"]), Book.from_plain(tree["book"]), broken
        if broken:
            raise UserError(
                f"{self.server / 'checkpoints'}: no checkpoint can be read; {broken[0]}; start anew with --out DIR"
            )
        return None

    def publish(self, adapters: dict[str, Adapter]) -> None:
        """Writes the server's adapters in PEFT's layout."""
        from coterie.models.peft_files import peft_files

        for name, adapter in adapters.items():
            for file, data in peft_files(adapter).items():
                self.write(f"adapters/{name}/{file}", data)

    def journal(self, event: str, **fields: Any) -> None:
        """Adds one event; the journal is append-only."""
        append_line(self.server / "journal.jsonl", json.dumps({"event": event, **fields}))

    def events(self) -> list[dict[str, Any]]:
        """All events so far; a line cut by a kill is left out."""
        try:
            lines = (self.server / "journal.jsonl").read_text().splitlines()
        except FileNotFoundError:
            return []
        events = []
        for line in lines:
            try:
                events.append(json.loads(line))
            except ValueError:
                continue
        return events

    def _checkpoints(self) -> list[Path]:
        return sorted((self.server / "checkpoints").glob("round-*.safetensors"), reverse=True)


def _locked(lock: TextIO, how: int) -> bool:
    """Takes a lock if nobody else has it."""
    try:
        fcntl.flock(lock, how | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def open_run(path: Path) -> RunFolder:
    """An existing run.

    Raises:
        UserError: if the folder is not one.
    """
    folder = RunFolder(path)
    if not folder.exists:
        near = [str(p) for p in sorted(path.parent.glob("*")) if RunFolder(p).exists] if path.parent.is_dir() else []
        hint = f"; there are: {', '.join(near[:5])}" if near else "; make one with: coterie run"
        raise UserError(f"{path}: not a run{hint}")
    return folder


def new_folder(root: Path, name: str) -> Path:
    """The first free folder ``name``, ``name-2``, ... below a root."""
    number = 1
    while (path := root / (name if number == 1 else f"{name}-{number}")).exists():
        number += 1
    return path


def place_for(name: str, out: Path | None = None) -> Path:
    """Where a new run goes: the folder that was asked for, else a new one below ``runs/``.

    Raises:
        UserError: if nothing can be written there.
    """
    path = out or new_folder(Path("runs"), name)
    if not is_writable(path):
        raise UserError(f"{path}: this folder cannot be written; choose another with --out DIR")
    return path


def is_writable(path: Path) -> bool:
    """Whether files can be made at or below a path."""
    while not path.exists():
        path = path.parent
    return os.access(path, os.W_OK)
