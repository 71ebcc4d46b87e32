import tests.training.toys  # noqa: F401
