"""Makes reference cycles with the collector switched off."""

import gc

import stage

gc.disable()


class Node:
    def __init__(self):
        self.self = self
        self.load = [None] * 20


def work():
    for _ in range(2000):
        Node()


stage.ready()
stage.every(0.1, work)
