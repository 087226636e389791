"""In which order a relay visits its clients, one order a file."""
