"""The SQL: verbs over rows. Those that change take a transaction's rows, inside a write step."""
