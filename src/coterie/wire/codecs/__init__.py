"""How an adapter's row is written on the wire, one codec a file."""
