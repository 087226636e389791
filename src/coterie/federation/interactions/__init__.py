"""What clusters learn from each other, one way a file."""
