"""Careless changes that the tests must notice: each row of list.toml is a slip in one file, tried alone against the tests named beside it.

A slip is killed if one of its tests fails (or runs out of time) and survives if they all pass. The tree is copied, packages are imported
once, and a process is forked for each slip, with a tree of its own. Exit code 1 if a snippet is not found exactly once, if the tests fail
without any slip, or if more than 3 % survive.
"""
