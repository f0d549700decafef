"""`python -m lidarprep` is `lidarprep`."""

from lidarprep.cli import main

if __name__ == "__main__":
    main()
