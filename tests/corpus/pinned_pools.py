"""Small objects: every pymalloc arena keeps one, most of its pools are empty."""

import stage

kept = stage.keep_some(500_000, 190, 1000)
stage.ready()
stage.hold()
