"""Every hard bound with its unit. What the operator may set is a key of the configuration."""
