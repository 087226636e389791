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
