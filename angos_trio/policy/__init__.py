"""Decisions: facts in, an answer out. Nothing here waits, and time is a fact."""
