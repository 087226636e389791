"""What a user can put right, in one line, with an exit code."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class UserError(Exception):
    """A mistake outside Coterie's code: says what is wrong and what would be right. The command exits with code 2."""

    exit_code = 2


class Halted(UserError):
    """The machine stopped the run, as a full disk does; finished rounds are saved. The command adds how to go on."""


class OtherModel(UserError):
    """An adapter that was made for another model than it is read for; the command adds how to name the right one."""


class Interrupted(UserError):
    """The user stopped the run; finished work is saved and the message says how to go on."""

    exit_code = 130


@contextmanager
def said_of(where: str) -> Iterator[None]:
    """Begins what is wrong inside with where that is: a file, or the part of one. No words add nothing."""
    try:
        yield
    except (Halted, OtherModel, Interrupted):
        raise
    except UserError as error:
        if not where:
            raise
        raise UserError(f"{where}: {error}") from error


def nearest(name: str, known: Iterable[str]) -> str:
    """``"; did you mean 'x'?"`` for the closest known name, else the list of what there is.

    >>> nearest("fedavgg", ["fedavg", "local"])
    "; did you mean 'fedavg'?"
    >>> nearest("zzz", ["fedavg", "local"])
    '; there are: fedavg, local'
    """
    known = sorted(known)
    if not known:
        return "; there are none"
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean '{close[0]}'?" if close else f"; there are: {', '.join(known)}"
