"""Whose pictures are whose: sources read them, partitions share them out, populations hold them. No model, no wire."""
