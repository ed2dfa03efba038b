"""Two at once: half of the slack can go back, half of it shares its pages with live blocks."""

import stage

holes = stage.keep_some(80_000, 960, 4)
slack = stage.keep_some(40_000, 2000, 40)
stage.ready()
stage.hold()
