"""The pretraining stage: photos, boxes and a recipe become an encoder."""
