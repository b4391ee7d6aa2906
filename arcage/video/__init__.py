"""Videos and webcams: frames in, one prediction for each person out.

``read`` decodes frames, ``track`` assigns faces to persons, ``person`` combines the frames of a person,
``predictions`` runs all three, and ``write`` writes a table of the frames or an annotated video.
"""
