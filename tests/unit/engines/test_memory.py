import pytest
import torch

from coterie.core.errors import UserError
from coterie.engines.memory import SiteMemory


@pytest.fixture
def memory(tmp_path):
    return SiteMemory(tmp_path / "memory")


def test_an_empty_memory_is_an_empty_tree(memory):
    assert memory.open("") == {}


def test_only_the_accepted_version_is_ever_started_from(memory):
    memory.save(1, 1, {"x": torch.tensor(1.0)})
    memory.save(2, 2, {"x": torch.tensor(2.0)})  # an attempt whose reply was never accepted
    assert memory.open("1.1", "2.3")["x"] == 1
    assert len(list(memory.folder.iterdir())) == 1


def test_a_late_reply_never_was(memory):
    memory.save(1, 1, {"x": 1})
    assert memory.open("") == {}
    assert not list(memory.folder.iterdir())


def test_the_running_attempt_goes_on_from_its_own_earlier_calls(memory):
    memory.save(1, 1, {"x": 1})
    memory.save(2, 2, {"x": 2})
    assert memory.open("1.1", "2.2") == {"x": 2}


def test_a_missing_accepted_version_is_told(memory):
    with pytest.raises(UserError, match=r"memory of round 3.7 is missing"):
        memory.open("3.7")
