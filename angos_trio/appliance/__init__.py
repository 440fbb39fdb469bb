"""What a host needs of the registry besides serving: it is examined, and told what to do."""
