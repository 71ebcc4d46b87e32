"""The configuration that `eigexp` composes: one group for each kind of object (importable as `eigexp.conf`)."""
