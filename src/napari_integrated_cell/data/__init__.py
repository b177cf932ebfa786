"""Read cells from tables, images and stores."""
