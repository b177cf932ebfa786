"""The napari plugin. No other folder imports napari or Qt."""
