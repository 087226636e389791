"""A process that dies somewhere in a run: what is on the disk at each of its writes, and how it goes on from there."""

import shutil
from dataclasses import replace

import pytest

from coterie.engines import disk


def deaths_of(w):
    """Plays a world; returns the folders that it would leave if it died before and after each of its writes, in turn.

    Every file is written through one rename. Who is killed does nothing more, so a copy of the folder at that moment is
    all there is to go on from, and one run passes all these moments.
    """
    rename, left, root = disk.os.replace, [], w.path.with_name(f"{w.path.name}-deaths")

    def die():
        left.append(root / f"{len(left):03d}")
        shutil.copytree(w.path, left[-1])

    def dying(source, target):
        die()
        rename(source, target)
        die()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(disk.os, "replace", dying)
        w.play()
    return left


def assert_a_kill_costs_nothing(w, ends=lambda w, results: w.final(), every=1):
    """Goes on from wherever a world could have died, to the same end; returns how many deaths there are.

    Args:
        w: the world, not yet played; it is.
        ends: all that must be the same, of a world and its results.
        every: of so many deaths one is gone on from.
    """
    wanted = ends(w, w.play())
    deaths = deaths_of(replace(w, path=w.path.with_name(f"{w.path.name}-again"), log=[], events=[]))
    for point, path in list(enumerate(deaths))[::every]:
        broken = replace(w, path=path, log=[], events=[])
        assert ends(broken, broken.play()) == wanted, f"killed at point {point}"
    return len(deaths)
