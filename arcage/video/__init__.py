"""Films and webcams: frames to persons, one answer for each.

``read`` gives frames, ``track`` tells who is who, ``answers`` joins what was said of one person, ``write``
draws and lists the frames.
"""
