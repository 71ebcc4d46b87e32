"""Run an experiment: from a composed configuration to one Trainer.fit and stored results."""
