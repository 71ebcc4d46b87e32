"""`python -m eigexp` is the `eigexp` command."""

import os
import sys

if not sys.flags.safe_path and sys.path[:1] == [os.getcwd()]:
    del sys.path[0]  # Python puts the current folder first, and a file there must not be taken for a library

from eigexp.cli import main

if __name__ == "__main__":
    sys.exit(main())
