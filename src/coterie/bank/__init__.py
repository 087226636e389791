"""One frozen backbone in memory, many adapters beside it, every row of a batch routed to its own."""
