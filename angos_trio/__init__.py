"""angos-trio: an OCI Distribution 1.1 registry in one file."""

__version__ = "0.1.0"
