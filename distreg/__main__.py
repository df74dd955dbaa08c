"""``python -m distreg`` is the command line."""

from distreg.cli import main

if __name__ == "__main__":
    main()
