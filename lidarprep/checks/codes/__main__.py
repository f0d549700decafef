"""Print docs/findings.md."""

from lidarprep.checks.codes import as_markdown

if __name__ == "__main__":
    print(as_markdown(), end="")
