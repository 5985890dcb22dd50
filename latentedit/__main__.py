"""Run ``python -m latentedit``; ``accelerate launch -m`` needs this module too."""

from latentedit.cli import main

if __name__ == "__main__":
    main()
