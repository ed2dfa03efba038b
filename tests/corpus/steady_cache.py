"""A bounded cache that is full: each entry that comes in pushes one of the same size out."""

import collections
import random

import stage

dice = random.Random(1)
cache = collections.OrderedDict()


def visit():
    for _ in range(200):
        key = dice.randrange(60_000)
        if key in cache:
            cache.move_to_end(key)
            continue
        cache[key] = b"%064d" % key * 16
        if len(cache) > 20_000:
            cache.popitem(last=False)


for _ in range(1000):
    visit()
stage.ready()
stage.every(0.05, visit)
