"""TOML to values. Only the command line and the composition root see the whole of it."""
