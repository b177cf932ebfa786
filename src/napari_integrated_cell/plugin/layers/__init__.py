"""napari layers that several docks share: metadata, volumes, places, display and opacity."""
