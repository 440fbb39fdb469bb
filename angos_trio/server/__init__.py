"""Sockets and the HTTP/1.1 cycle, around a callable ASGI application. Hypercorn is adapted here."""
