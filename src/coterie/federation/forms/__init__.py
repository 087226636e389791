"""Forms of collaboration, one a file."""
