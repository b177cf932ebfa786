"""What an image file holds: its scenes, axes, names, sizes and planes, before a pixel is read."""
