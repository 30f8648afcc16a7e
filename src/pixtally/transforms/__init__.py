"""Graphs from images to images: hole filling, colormaps, translation."""
