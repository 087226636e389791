"""What is measured, and how: halves that run at the clients and return numbers only."""
