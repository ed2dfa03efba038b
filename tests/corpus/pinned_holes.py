"""Every page of the heap keeps one live block: three quarters are free, none can go back."""

import stage

kept = stage.keep_some(110_000, 960, 4)
stage.ready()
stage.hold()
