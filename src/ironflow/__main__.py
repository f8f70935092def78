"""`python -m ironflow` is the command `ironflow`."""

from ironflow.cli import main

if __name__ == "__main__":
    main()
