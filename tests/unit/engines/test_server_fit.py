"""The server's own training: what of its end a user reads."""

import pytest

from coterie.bank.fit import NotFinite
from coterie.core.errors import Halted, UserError
from coterie.engines.server_fit import on_server
from coterie.engines.trampoline import SERVER, run


@pytest.mark.parametrize("kind", ["fit", "side"])
def test_a_number_that_is_none_ends_the_run_in_one_line_with_the_round(kind):
    with pytest.raises(UserError, match=r"^round 3: the server's training ended: no finite number; lower it$"):
        run(on_server(kind, None, 3), lambda kind, works: [NotFinite("no finite number; lower it")])


def test_what_a_user_can_read_already_stays_as_it_is():
    with pytest.raises(Halted, match=r"^the disk is full$"):
        run(on_server("fit", None, 3), lambda kind, works: [Halted("the disk is full")])


def test_work_of_the_server_is_done_as_its_own():
    asked = []
    assert run(on_server("fit", "start", 3), lambda kind, works: asked.extend(works) or ["done"]) == "done"
    assert [(work.kind, work.client, work.payload) for work in asked] == [("fit", SERVER, "start")]
