"""The nouns and their arithmetic: no model, no file, no clock."""
