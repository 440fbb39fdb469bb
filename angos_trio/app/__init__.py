"""The composition root: builds the real objects, orders processes and nurseries."""
