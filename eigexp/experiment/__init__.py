"""Where everything meets: from a composed configuration to one Trainer.fit and stored results."""
