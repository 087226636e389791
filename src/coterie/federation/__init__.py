"""The algorithms: what clients and server do, never where."""
