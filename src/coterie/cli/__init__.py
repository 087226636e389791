"""The command line. Heavy libraries load inside the command that needs them, so that help is instant."""
