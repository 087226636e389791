"""Backbones, one family a file: settings on the shelf, and ``load`` makes the model."""
