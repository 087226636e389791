"""Where clients run, and what carries messages to them."""
