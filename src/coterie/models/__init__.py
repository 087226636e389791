"""What is tuned, and how."""
