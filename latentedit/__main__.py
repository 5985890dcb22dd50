"""``python -m latentedit``, which ``accelerate launch -m`` needs too."""

from latentedit.cli import main

if __name__ == "__main__":
    main()
