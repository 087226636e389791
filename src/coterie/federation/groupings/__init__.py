"""Ways of saying who belongs with whom, one a file."""
