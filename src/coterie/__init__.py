"""Coterie: many people teach one frozen generative model together, and each keeps a style of their own."""

__version__ = "0.1.0"
