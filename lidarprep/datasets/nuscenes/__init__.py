"""nuScenes: tables that name the files of every sensor."""
