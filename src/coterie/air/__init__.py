"""What a run would cost on the air: bytes as they were metered become seconds and joules on a clock of their own."""
