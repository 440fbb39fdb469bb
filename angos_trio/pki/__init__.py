"""Certificates: the server's own, what clients show, and what was revoked.

Nearly all of it imports `cryptography`, so it is imported only where certificates matter: a
registry without TLS does not wait for that.
"""
