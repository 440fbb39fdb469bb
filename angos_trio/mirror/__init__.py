"""Repositories that are pulled through from other registries."""
