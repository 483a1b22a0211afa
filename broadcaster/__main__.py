"""``python -m broadcaster`` and the console script."""

from broadcaster.cli import main

if __name__ == "__main__":
    main()
