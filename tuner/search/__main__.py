"""`python -m tuner.search`."""

import sys

from tuner.search import main

if __name__ == "__main__":
    sys.exit(main())
