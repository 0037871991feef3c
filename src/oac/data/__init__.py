"""The data stage: a published data set becomes canonical tables, a subset and a sharded image store."""
