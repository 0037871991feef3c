"""Stage 4: encoders and labelled photos into average precision per class."""
