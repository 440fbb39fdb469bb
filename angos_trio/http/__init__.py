"""Where Quart is adapted: routes with actions, the gate, bounded bodies, errors to responses."""
