"""Numbered SQL files; `migrations.py` applies those that a database has not seen, in order."""
