"""What is to be done apart from requests, and survives a restart."""
