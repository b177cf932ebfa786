"""Images: reading, segmenting, rendering, pose, resampling and writing."""
