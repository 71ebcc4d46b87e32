"""`python -m eigexp` is the `eigexp` command."""

import sys

from eigexp.cli import main

if __name__ == "__main__":
    sys.exit(main())
