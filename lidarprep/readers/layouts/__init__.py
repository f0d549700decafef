"""One module a recording layout: path → Scene."""
