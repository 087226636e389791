"""What a client keeps for itself, one way a file."""
