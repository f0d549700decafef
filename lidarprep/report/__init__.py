"""What a scene looks like: pictures, one HTML page with a viewer, and exports to viewers that people have."""
