"""``python -m udg`` is the command ``udg``."""

from udg.cli import main

if __name__ == "__main__":
    main()
