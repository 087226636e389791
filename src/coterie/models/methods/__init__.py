"""What of a backbone is trained and travels, one method a file."""
