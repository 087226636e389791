"""The report of a run: one self-contained page made from nothing but a run folder, at any time."""

from coterie.report.page import make_report

__all__ = ["make_report"]
