import errno
import os

import pytest

from coterie.core.errors import UserError
from coterie.engines import disk


def test_files_are_replaced_at_once_and_leave_nothing_behind(tmp_path):
    path = tmp_path / "a" / "b.bin"
    disk.write_bytes(path, b"old")
    disk.write_bytes(path, b"new")
    assert path.read_bytes() == b"new"
    assert os.listdir(path.parent) == ["b.bin"]


def test_a_file_is_on_the_disk_before_it_has_its_name_and_then_the_name_is(tmp_path, monkeypatch):
    done, rename = [], os.replace
    monkeypatch.setattr(disk.os, "fsync", lambda file: done.append(os.readlink(f"/proc/self/fd/{file}")))
    monkeypatch.setattr(disk.os, "replace", lambda *names: (done.append("renamed"), rename(*names)))
    disk.write_bytes(tmp_path / "b.bin", b"new")
    assert done == [str(tmp_path / "b.bin.part"), "renamed", str(tmp_path)]


def test_a_full_disk_costs_nothing_and_says_so(tmp_path, monkeypatch):
    path = tmp_path / "b.bin"
    disk.write_bytes(path, b"finished work")

    def full(fd):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(disk.os, "fsync", full)
    with pytest.raises(UserError, match="the disk is full; free some space"):
        disk.write_bytes(path, b"more work")
    assert path.read_bytes() == b"finished work"
    assert os.listdir(tmp_path) == ["b.bin"]


def test_a_file_where_a_folder_should_be(tmp_path):
    (tmp_path / "x").write_text("")
    with pytest.raises(UserError, match="a file is where a folder should be"):
        disk.write_bytes(tmp_path / "x" / "y", b"")
