"""What crosses between clients and server: bytes, counted."""
