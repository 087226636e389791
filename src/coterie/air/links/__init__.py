"""Kinds of links, one a file."""
