"""Layers, names, sizes and documents: rules about the repository itself."""
