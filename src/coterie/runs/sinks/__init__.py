"""One file a sink; the file name is the name in the recipe."""
