"""Ways of cutting clusters out of similarities, one a file."""
