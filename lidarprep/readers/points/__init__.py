"""One module a point-file format: path → PointCloud."""
