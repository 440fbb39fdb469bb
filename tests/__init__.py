"""Tests of angos-trio: `tests/<room>/`, plus crash, e2e, conformance and style."""
