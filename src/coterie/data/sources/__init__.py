"""Where captioned pictures come from; the file name is the name in a recipe."""
