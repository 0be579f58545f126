"""Pictures that explain: drawn with PIL alone, legible at the size of a node's preview."""
