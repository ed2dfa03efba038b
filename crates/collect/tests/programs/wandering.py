"""Stacks that change in every way a program can change them, with an allocation at every turn.

Functions call each other at random from several lines each, through C and back, raise through several
frames, suspend and are resumed by others, run code that did not exist before, and recurse far.
"""

import asyncio
import functools
import random
import sys
import threading

sys.setrecursionlimit(5000)


def block():
    return bytes(600)


class Walk:
    def __init__(self, seed, n_steps):
        self.random = random.Random(seed)
        self.left = n_steps
        self.suspended = []
        self.loaded = {}

    def step(self, depth):
        block()
        self.left -= 1
        if self.left <= 0 or depth > 60:
            return
        self.random.choice(WAYS)(self, depth + 1)
        block()

    def twice(self, depth):
        self.step(depth)
        block()
        self.step(depth); self.step(depth + 20)  # noqa: E702

    def by_loop(self, depth):
        for _ in range(self.random.randrange(4)):
            self.step(depth)
            block()

    def by_sort(self, depth):
        sorted(range(3), key=lambda _: self.step(depth + 10) or 0)

    def by_map(self, depth):
        list(map(self.step, [depth + 15] * 2))

    def by_reduce(self, depth):
        functools.reduce(lambda so_far, _: self.step(depth + 10), range(2), None)

    def by_attribute(self, depth):
        self.missing_attribute_of(depth)

    def __getattr__(self, name):
        block()
        if name == "missing_attribute_of":
            return self.step
        raise AttributeError(name)

    def raising(self, depth):
        try:
            self.raise_from(self.random.randrange(30))
        except KeyError:
            self.step(depth)
        finally:
            block()

    def raise_from(self, n):
        block()
        if n == 0:
            raise KeyError(n)
        self.raise_from(n - 1)

    def generator(self, depth):
        block()
        while True:
            yield block()
            self.step(depth + 20)
            yield from (block() for _ in range(2))

    def suspend(self, depth):
        suspended = self.generator(depth)
        next(suspended)
        self.suspended.append(suspended)

    def resume(self, depth):
        if not self.suspended:
            return self.suspend(depth)
        place = self.random.randrange(len(self.suspended))
        suspended = self.suspended.pop(place)
        try:
            next(suspended)
        except (RuntimeError, ValueError):
            return self.step(depth)
        if self.random.random() < 0.7:
            self.suspended.append(suspended)
        return None

    def end_all(self, depth):
        if len(self.suspended) > 20:
            self.suspended.clear()
        block()

    def new_code(self, depth):
        name = "code_%d.py" % self.random.randrange(50)
        lines = "\n" * self.random.randrange(5)
        source = lines + "def run(walk, depth):\n    block()\n    walk.step(depth)\n"
        source += "run(walk, depth)\nblock()\n"
        scope = {"walk": self, "depth": depth, "block": block}
        exec(compile(source, name, "exec"), scope)

    def recurse(self, depth):
        self.down(depth, self.random.randrange(700))

    def down(self, depth, n):
        if n % 7 == 0:
            block()
        if n:
            self.down(depth, n - 1)
            if n % 50 == 0:
                block()
        elif self.random.random() < 0.3:
            self.step(depth + 30)

    def in_class(self, depth):
        walk = self

        class Made:
            walk.step(depth + 10)

            def __del__(self):
                block()

        Made()

    def in_tasks(self, depth):
        is_main = threading.current_thread() is threading.main_thread()
        if not is_main or depth > 20 or self.random.random() < 0.8:
            return self.step(depth)

        async def deeper(n):
            block()
            if n:
                await deeper(n - 1)
                await asyncio.sleep(0)
            block()

        async def several():
            await asyncio.gather(*(deeper(self.random.randrange(15)) for _ in range(5)))

        try:
            asyncio.get_event_loop_policy()
            loop = asyncio.new_event_loop()
            loop.run_until_complete(several())
            loop.close()
        except RuntimeError:
            # A loop runs further down.
            block()


WAYS = [
    Walk.twice, Walk.by_loop, Walk.by_sort, Walk.by_map, Walk.by_reduce, Walk.by_attribute, Walk.raising,
    Walk.suspend, Walk.resume, Walk.resume, Walk.end_all, Walk.new_code, Walk.recurse, Walk.in_class,
    Walk.in_tasks,
]  # fmt: skip


def wander(seed, n_steps):
    walk = Walk(seed, n_steps)
    while walk.left > 0:
        walk.step(0)


def in_greenlets(seed, n_steps):
    try:
        import greenlet
    except ImportError:
        return

    def run(walk):
        while walk.left > 0:
            walk.step(0)

    class Switching(Walk):
        def step(self, depth):
            if self.random.random() < 0.2:
                others = [one for one in greenlets if not one.dead]
                if others:
                    self.random.choice(others).switch(self)
            super().step(depth)

    walks = [Switching(seed + idx, n_steps // 5) for idx in range(5)]
    greenlets = []
    greenlets.extend(greenlet.greenlet(run) for _ in walks)
    for one, walk in zip(greenlets, walks):
        while not one.dead:
            one.switch(walk)


def main(seed, n_steps):
    wander(seed, n_steps)
    threads = [threading.Thread(target=wander, args=(seed + idx, n_steps // 4)) for idx in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    in_greenlets(seed, n_steps)


threading.stack_size(64 << 20)
main(int(sys.argv[1]), int(sys.argv[2]))
