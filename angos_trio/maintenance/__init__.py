"""Housekeeping: what the steward does with content, and what it tells of it."""
