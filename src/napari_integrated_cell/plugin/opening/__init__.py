"""Open files in napari: whether one is for this plugin, its layers, and the dialog "Open image with choices"."""
