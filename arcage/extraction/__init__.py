"""Extract the descriptors of many images into a cache, in this process or on Ray."""
