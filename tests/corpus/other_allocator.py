"""A burst under an allocator whose books cannot be read from outside. Nothing can be decided honestly."""

import stage

kept = stage.keep_some(60_000, 2000, 4)
stage.ready()
stage.hold()
