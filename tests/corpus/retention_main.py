"""One burst in one thread: most blocks freed, a few kept between them."""

import stage

kept = stage.keep_some(70_000, 2000, 70)
stage.ready()
stage.hold()
