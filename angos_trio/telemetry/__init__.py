"""What the registry tells its operator: logs, metrics and health."""
