"""From overrides to one composed configuration, and from its nodes to objects."""
