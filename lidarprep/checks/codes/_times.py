"""Codes of findings about times: order, unit, rate and clocks."""

from __future__ import annotations

from lidarprep.checks.codes._code import Code

CODES = {
    "camera-delay": Code(
        "warning or note",
        "The images of a camera are half a frame or more from their sweeps, always by the same time. A camera may "
        "be triggered so. Otherwise its clock is late, its messages are stamped when they arrive, or its images are "
        "numbered from another frame on; then what moves is beside itself in the images.",
        "The median of the image's time less the frame's, over all frames; constant if half of them are within 15 % "
        "of the time between frames. In a bag also the times in the headers against the times of recording, "
        "compared with those of the clouds. A warning from a whole frame on, or if headers are later than their "
        "recording; else a note.",
        "See by something that moves whether images and points agree; if not, shift the camera's times by the delay.",
        "the images of camera front are 100.0 ms after their sweeps, always: 1 of the 100 ms between frames",
    ),
    "clock-offset": Code(
        "warning",
        "Two streams have different clocks. GPS time is 18 s ahead of UTC, and TAI 37 s; time zones are whole hours "
        "apart. Poses of another clock put each frame where the device was at another time.",
        "Streams a second or more apart: in a bag by the times of recording, which one clock gives to all messages; "
        "points with times since the Unix epoch against their frames; poses that begin and end as much before the "
        "frames, or after them, if that is a usual difference of clocks.",
        "Give both streams one clock: shift the times of one by the difference that is named.",
        "/camera/front/compressed: the times in its headers are 37.00 s ahead of those of the clouds, by the times "
        "of recording, as TAI and UTC are",
    ),
    "frame-rate": Code(
        "warning or note",
        "Frames come more often than any lidar turns, or very seldom and regularly: their times have another unit "
        "than the layout states, or they are another number altogether.",
        "The median time between frames without doubled ones: a warning below 5 ms (200 Hz); a note from 50 s on if "
        "no step differs from it by a fifth, and a smaller unit gives a usual rate. The unit that is named gives "
        "steps from 4 ms to 4 s; there is never more than one.",
        "Say the unit with --time-unit UNIT, where the layout takes it; or write the times in the stated unit.",
        "frames come 10,000 times a second: their times look like microseconds, and were read as nanoseconds; the "
        "first is at 1.7e+06 s, no date of today",
    ),
    "frames-doubled": Code(
        "warning",
        "Frames share a timestamp. A frame may have been recorded twice; or the times are rounded to whole seconds "
        "or milliseconds, and each frame was at another time.",
        "Equal timestamps. Rounded: all of them are whole seconds, or milliseconds, and more than a fifth are shared.",
        "Where they are rounded, give finer times. Else --frame-order time keeps the first of them. Where the unit "
        "is in doubt (frame-rate), that comes first.",
        "1 of 4 frames have the timestamp of an earlier one: 2 has that of 1, 1700000000100000000 ns",
    ),
    "frames-out-of-order": Code(
        "warning",
        "A frame is earlier than the one before it. Scale takes frames as they are listed, so objects would jump back.",
        "A timestamp below that of the frame before.",
        "--frame-order time sorts them; where the unit is in doubt (frame-rate), that comes first.",
        "1 of 4 frames are earlier than the one before them: the first is 2, 50.000 ms before 1",
    ),
    "point-time-unit": Code(
        "warning or note",
        "The times of the points within a sweep do not fit the time between frames: they have another unit than the "
        "one they were read in, or are shares of a sweep from 0 to 1. --deskew then does nothing, or far too much, "
        "and the points' times in the attachments are wrong.",
        "The span of the times in sample frames, without the outermost hundredths, against the median time between "
        "frames: below a 300th of it or above 30 times. A warning where another unit gives from half to 1.2 times "
        "of it, or where it is too long; a note where another unit gives a fiftieth at least.",
        "Say the unit with --time-unit points=UNIT; multiply shares of a sweep by its duration.",
        "the points' times span 0.099 ms in a sweep, and frames are 100 ms apart: they look like microseconds, and "
        "were read as nanoseconds",
    ),
    "stamps-unset": Code(
        "warning or note",
        "Messages or poses have no time: 0, not a number, or half a day from all others, as a sensor writes it that "
        "has not got the time yet. Their times are estimated; all others stay as they are.",
        "A stamp of 0, but for a clock that begins at 0; or one 12 h from the median of the others, against the "
        "time of recording in a bag. A message's time is estimated from when it was recorded, less the delay of "
        "those beside it; if none has a time, the times of recording are taken (warning). A pose's is between those "
        "of the rows beside it, and it is left out of the device's path.",
        "Mostly nothing. Where no message has a time, let the driver stamp them: recordings are late by transport.",
        "/points: 1 of 10 messages have a header without a time (0, or half a day from the others); their times are "
        "estimated from when they were recorded",
    ),
}
