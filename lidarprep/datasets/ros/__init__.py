"""Recordings of ROS: ROS 1 .bag files, ROS 2 bags in sqlite3 or MCAP files, and MCAP files alone.

    ros1.py, ros2.py, mcap.py     the three layouts: what they look like
    scene.py                      a bag as a scene: from topics to frames
    topics.py                     which topics are read
    transforms.py, poses.py       the tree of transforms, and where the device's poses come from
    pose_messages.py              poses, thousands at once
    pictures.py, images.py        cameras and their pictures
    camera_info.py                sensor_msgs/CameraInfo as intrinsics
    lidars.py, clouds.py          which clouds make a frame, and the frame's points
    point_cloud2.py               sensor_msgs/PointCloud2 as columns
    bag.py                        an open bag: its topics, and its messages at their places
    storage_*.py, chunks.py       the three kinds of file that messages lie in
    cursor.py, headers.py         the serialised bytes of a message

Messages are read at the places that the file's own index gives, so opening a bag reads no points. The messages that
are read are of standard types, whose layout is the same in every release of ROS: no message definition is needed.
"""
