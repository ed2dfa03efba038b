"""Looks like growth after a fork: workers only read what they inherited, but reading counts references."""

import os

import stage

if __name__ == "__main__":
    inherited = [("key %d" % number, float(number)) for number in range(200_000)]
    inherited_too = [object() for _ in range(600_000)]
    report, done = os.pipe()
    alive, until = os.pipe()
    for _ in range(2):
        if os.fork() == 0:
            os.close(until)
            total = sum(value for _, value in inherited)
            total += len([id(thing) for thing in inherited_too])
            held = [*inherited, *inherited_too]
            del held
            os.write(done, b".")
            os.read(alive, 1)
            os._exit(0)
    while len(os.read(report, 1)) == 0:
        pass
    os.read(report, 1)
    stage.ready()
    stage.hold()
