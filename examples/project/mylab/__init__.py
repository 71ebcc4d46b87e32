"""Models, noises and callbacks of this lab."""
