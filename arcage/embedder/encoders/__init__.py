"""Any image encoder: read its graph, and build a network from aligned faces to descriptors."""
