"""Rules that make one adapter out of many, one a file."""
