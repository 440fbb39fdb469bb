"""The OCI specifications as pure functions and values: no file, clock, socket or await."""
