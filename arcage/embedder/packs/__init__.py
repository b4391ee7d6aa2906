"""Model packs: records, packs on disk, and their download."""
