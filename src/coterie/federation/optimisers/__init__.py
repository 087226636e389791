"""What the server makes of a round's mean, one optimiser a file."""
