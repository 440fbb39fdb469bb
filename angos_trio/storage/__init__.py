"""Bytes and rows: one data directory on one file system. Nothing above knows a path or a query."""
