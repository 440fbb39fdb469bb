"""Certificates: the server's own, what clients show, and what was revoked.

It imports `cryptography`, so this room is imported only where TLS is configured.
"""
