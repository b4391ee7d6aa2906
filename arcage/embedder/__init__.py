"""From images to faces with descriptors: detection, alignment, embedding."""
