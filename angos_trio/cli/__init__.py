"""One module per command: arguments to a call."""
