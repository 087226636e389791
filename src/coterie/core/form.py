"""A shape of collaboration, and what a client keeps for itself in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

from coterie.core.adapter import Adapter
from coterie.core.cohort import Cohort
from coterie.core.site import ClientId, Site
from coterie.core.work import Fit


class Keeping(Protocol):
    """What a client keeps for itself beside what it shares. All of it happens at the client.

    Attributes:
        served_is_whole: whether what the server has draws anything without what the client keeps.
        only_at_the_end: whether its ``steps`` are taken once, and not with every training.
    """

    served_is_whole: ClassVar[bool] = True
    only_at_the_end: ClassVar[bool] = False

    def begin(self, site: Site, served: Adapter) -> Adapter:
        """Where the shared training of a round begins."""
        return served

    def share(self, site: Site, trained: Adapter) -> Adapter:
        """What of the trained adapter is sent."""
        return trained

    async def after_round(self, site: Site, served: Adapter, fit: Fit) -> None:
        """After the shared training of a round."""
        return None

    async def keep(self, site: Site, served: Adapter, fit: Fit) -> Adapter | None:
        """At the end: the personal adapter, or None when the served one is all there is."""
        return None


class Form(Protocol):
    """A shape of collaboration: both halves of it, all of them coroutines.

    Client halves are methods whose names begin with ``client_``. A form that cannot do with just anybody has a method
    ``require_people(here, seed, first)``, which raises ``UserError`` for clients with whom it could not go on;
    ``first`` is before round 1. It is asked before a run, of every round in which somebody comes or goes, and it asks
    itself when it enrols.

    A form may also have what reports say of it: a method
    ``leaves(example)`` that gives, by a purpose of the meter or ``across``, the ``core.leaves.Leaves`` that are other
    than an adapter trained in every round and an encoded wish; and ``group``, what a group of clients is called.
    """

    @property
    def fit(self) -> Fit:
        """How clients train in a round."""
        ...

    async def init(self, adapter: Adapter) -> Any: ...
    async def enrol(self, state: Any, newcomers: Cohort) -> Any:
        """Before the first round, and before every round in which somebody comes, leaves or has another wish.

        ``newcomers`` are to be asked: who came and who has another wish, perhaps nobody. Who is in the state and no
        longer in ``newcomers.everybody`` has left and is to be forgotten; what it helped to learn stays. One member
        does for all three, because what they ask of a form is one thing: to look once more at who is there. A form
        that knows nothing of single clients returns the state as it is.
        """
        ...

    async def round(self, state: Any, cohort: Cohort) -> Any: ...
    async def client_personal(self, site: Site, served: Adapter) -> Adapter | None: ...
    def serve(self, state: Any, client: ClientId) -> Adapter:
        """What is sent to a client for keeping."""
        ...

    def restore(self, fields: Mapping[str, Any]) -> Any:
        """A state from the fields that a checkpoint held."""
        ...

    def strata(self, state: Any) -> Mapping[ClientId, str]:
        """Groups that the sampling of a cohort must cover; empty if there are none."""
        ...

    def adapters(self, state: Any) -> Mapping[str, Adapter]:
        """What the server publishes, by name."""
        ...
