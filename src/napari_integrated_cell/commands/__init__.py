"""The commands of ``napari-ic``, one file each."""
