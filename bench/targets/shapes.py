"""One heap of a named shape and of about a given size: `shapes.py SHAPE MEGABYTES`."""

import random
import sys
import threading

import control

kept = {}


def in_threads(n_threads, work):
    """Runs `work(number)` in threads that stay alive after it."""
    done = threading.Barrier(n_threads + 1)
    together = threading.Barrier(n_threads)

    def body(number):
        together.wait()
        work(number)
        done.wait()
        threading.Event().wait()

    for number in range(n_threads):
        threading.Thread(target=body, args=(number,), daemon=True).start()
    done.wait()


def burst(size):
    """Blocks of one size, each fiftieth kept."""
    kept["burst"] = [bytes(2000) for _ in range(size // 2000)][::50]


def threads(size):
    """The same in eight arenas, larger blocks."""
    in_threads(8, lambda number: kept.update({number: [bytes(8000) for _ in range(size // 64000)][::40]}))


def sizes(size):
    """Sizes from 600 bytes to 60 kB, freed in random order, a tenth kept."""
    dice = random.Random(1)
    blocks = []
    while size > 0:
        blocks.append(bytes(int(600 * 100 ** dice.random())))
        size -= len(blocks[-1])
    dice.shuffle(blocks)
    del blocks[len(blocks) // 10 :]
    kept["sizes"] = blocks


def holes(size):
    """Every page keeps a block: hardly anything can go back."""
    kept["holes"] = [bytes(960) for _ in range(size // 1000)][::4]


def threshold(size):
    """Large blocks, freed: glibc raises its thresholds, later large blocks lie in the heap and end it."""
    for step in range(1, 9):
        del [bytes(step << 20)][:]
    blocks = [bytes(700_000) for _ in range(size // 700_000)]
    kept["threshold"] = blocks[::3]


def tops(size):
    """Everything freed in six arenas: only their ends are left."""
    in_threads(6, lambda _: [bytes(8000) for _ in range(size // 48000)].clear())


def objects(size):
    """Small objects in pymalloc's pools, and their long strings in glibc's heap."""
    rows = [{"number": number, "text": "x" * (900 + number % 300)} for number in range(size // 1500)]
    kept["objects"] = rows[::25]


def live(size):
    """Nothing freed: blocks from 600 bytes to 6 kB, all held."""
    dice = random.Random(2)
    blocks = []
    while size > 0:
        blocks.append(bytes(int(600 * 10 ** dice.random())))
        size -= len(blocks[-1])
    kept["live"] = blocks


def pools(size):
    """Small objects only, all held."""
    kept["pools"] = [(number, str(number), float(number)) for number in range(size // 200)]


def service(size):
    """A bit of everything, half of it held."""
    size = size * 8 // 5  # later parts fill what earlier ones freed
    objects(size // 4)
    sizes(size // 4)
    live(size // 4)
    pools(size // 8)
    threads(size // 8)


SHAPES = (burst, threads, sizes, holes, threshold, tops, objects, live, pools, service)

if __name__ == "__main__":
    {shape.__name__: shape for shape in SHAPES}[sys.argv[1]](int(float(sys.argv[2]) * 1e6))
    control.obey()
