"""The HTTP API: each handler reads a call, asks one use-case and words its answer."""
