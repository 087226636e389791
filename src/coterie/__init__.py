"""Coterie: many people teach one frozen generative model together, and each keeps a style of their own.

In Python as on the command line::

    import coterie

    run = coterie.run("mine.toml", sets=["rounds=2"])
    run.results, run.adapters
    run.generate("a fox", client="lena")[0]

Names are imported when they are first asked for, so that a command's help need not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from coterie.core.adapter import Adapter
    from coterie.core.errors import UserError
    from coterie.runs.compare import compare
    from coterie.runs.handle import Run, run
    from coterie.runs.reading import read_recipe
    from coterie.runs.recipe import Recipe

__version__ = "0.1.0"
__all__ = ["Adapter", "Recipe", "Run", "UserError", "__version__", "compare", "read_recipe", "run"]

_WHERE = {
    "Adapter": "coterie.core.adapter",
    "Recipe": "coterie.runs.recipe",
    "Run": "coterie.runs.handle",
    "UserError": "coterie.core.errors",
    "compare": "coterie.runs.compare",
    "read_recipe": "coterie.runs.reading",
    "run": "coterie.runs.handle",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'coterie' has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
