"""napari layers that several docks share: volumes, their place, predicted structures, opacity."""
