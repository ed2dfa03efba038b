"""Holds a catalogue of objects and waits: all of it is live, none of it moves."""

import stage

catalogue = {
    number: ("item %d" % number, [number, number + 1], {"price": number}) for number in range(80_000)
}
stage.ready()
stage.hold()
