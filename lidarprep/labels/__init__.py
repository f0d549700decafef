"""Labels: from the API's answers to typed columns, and between columns and files of other formats.

The columns themselves are in `lidarprep.scene.labels`. `scale` reads results of tasks; each other module is one file
format, and says its convention.
"""
