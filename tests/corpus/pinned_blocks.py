"""Small objects: every pymalloc pool keeps a few of them."""

import stage

kept = stage.keep_some(600_000, 140, 8)
stage.ready()
stage.hold()
