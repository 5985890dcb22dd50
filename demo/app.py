"""The slider page; the same as `latentedit demo`, with its options."""

import sys

from latentedit.cli import main

if __name__ == "__main__":
    main(["demo", *sys.argv[1:]])
